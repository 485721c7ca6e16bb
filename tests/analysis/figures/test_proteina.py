"""Proteína's figures: every time of the path, the paper's rows as steps, studies of rotations and of gradients."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis import metrics, render
from analysis.captions import data_sentences
from analysis.measure.registry import table_in
from analysis.notes import gradients_note
from analysis.reference.paper_curves import ROWS_PER_STEP, TIMES, open_paper_curves
from analysis.results import load_run, load_runs
from analysis.tables.a_landmarks import landmarks_frame
from models.training.series import EMA, RAW
from tests.analysis.chain_runs import CHAIN_RUNS, CHAIN_STEPS, CHAIN_TIMES, OF_PROTEINA, VARIANCE


@pytest.fixture(scope="module")
def shared(tmp_path_factory, chain_folders, run_folders):
    """The two outputs that Proteína shares with EScAIP, from both systems' runs."""
    out = tmp_path_factory.mktemp("shared_figures")
    for output in ("a_fig1e", "a_landmarks"):
        render.render(output, "mini", out, [*chain_folders, *run_folders], ["x"])
    return out


@pytest.fixture(scope="module")
def drawn(rendered, shared):
    """Where an output of Proteína's lies."""
    return lambda output: (rendered if output in OF_PROTEINA else shared) / output


def points(drawn, output, source="ours"):
    return pd.read_csv(drawn(output).with_suffix(".csv")).query(f"source == '{source}'")


def test_a_run_at_one_time_is_a_run_without_times(chain_folders):
    run = load_run(chain_folders[0])
    assert run.times == CHAIN_TIMES
    assert run.plotted_series == RAW  # nothing was measured without a time
    at = run.at(0.8)
    assert (at.plotted_series, at.times) == (EMA, ())
    assert at.zero_loss == pytest.approx(0.04 * (1 + VARIANCE))
    moving = run.at(0.8, velocity=True)
    assert moving.zero_loss == pytest.approx(1 + VARIANCE)
    assert np.array_equal(moving.line("percent", EMA).value, at.line("percent", EMA).value)
    assert np.allclose(moving.line("L_mean", EMA).value, at.line("L_mean", EMA).value / 0.04)


@pytest.mark.parametrize("output", ["a_fig1e", "a_fig3"])
def test_every_time_is_drawn_over_its_losses_and_one_zero_predictor(drawn, output):
    ours = points(drawn, output)
    panels = {"Proteína"} if output == "a_fig1e" else set("aefg")
    for panel in panels:
        part = ours[ours["panel"] == panel]
        for quantity in ("percent", "L_mean", "L_equiv"):
            labels = part.loc[(part["quantity"] == quantity) & (part["series"] == "ema"), "label"]
            assert set(labels) == {f"t = {t:g}" for t in CHAIN_TIMES}
        zero = part[part["series"] == "zero"]
        assert zero["value"].unique() == pytest.approx([1 + VARIANCE])


def test_figure_three_has_its_eight_panels_and_ends_of_every_seed(drawn):
    ours = points(drawn, "a_fig3")
    assert set(ours["panel"]) == set("abcdefgh")
    ends = ours[ours["panel"] == "b"]
    assert len(ends) == CHAIN_RUNS["proteina-60m"] * len(CHAIN_TIMES)
    assert set(ends["step"]) == {CHAIN_STEPS[-1]}
    assert set(ours.query("panel == 'h'")["run"]) == {"proteina-0.1pct"}


@pytest.mark.parametrize("output", ["a_fig1e", "a_fig3", "a_fig8"])
def test_captions_say_generated_data(drawn, output):
    caption = drawn(output).with_suffix(".rst").read_text()
    assert "generated data: C-alpha traces (128 training and 8 validation chains)" in caption


def test_the_caption_counts_the_chains_of_the_run_that_has_most(tmp_path, write_chain_run):
    folders = [write_chain_run(tmp_path, name, 0) for name in ("proteina-0.1pct", "proteina-60m")]
    summary = json.loads((folders[0] / "summary.json").read_text())
    summary["data"]["train_chains"] = 8
    (folders[0] / "summary.json").write_text(json.dumps(summary))
    assert "(128 training and 8 validation chains)" in " ".join(data_sentences(load_runs(folders, "mini")))


def test_the_papers_rows_are_drawn_as_steps(drawn):
    theirs = points(drawn, "a_fig3", "paper")
    last = theirs[theirs["panel"] == "a"].groupby("label")["step"].max()
    assert last.max() == pytest.approx(1_099_935 / ROWS_PER_STEP["proteina-60m"], rel=0.1)
    caption = drawn("a_fig3").with_suffix(".rst").read_text()
    assert "2.28 (60m), 2.82 (400m), 2.2 (1pct), 1.24 (0.1pct)" in caption
    bars = theirs[theirs["panel"] == "b"].set_index("label")["value"]
    assert bars["t = 0.9"] == pytest.approx(6.5, abs=0.01)
    assert len(bars) == len(TIMES)


def test_the_papers_losses_and_percent_agree_at_every_time():
    paper = open_paper_curves()
    for t in TIMES:
        curves = paper.timed("proteina-60m", t)
        step = curves["percent"].median.step[5:20]
        mean, equiv, percent = (curves[name].median.at(step) for name in ("L_mean", "L_equiv", "percent"))
        assert 100 * equiv / (mean + equiv) == pytest.approx(percent, rel=0.12)


@pytest.mark.parametrize("output", ["a_fig1e", "a_fig3", "a_fig8"])
def test_the_papers_lines_are_drawn_without_its_logged_curves(tmp_path, chain_folders, without_paper, output):
    render.render(output, "mini", tmp_path, chain_folders, ["x"])
    points = pd.read_csv(tmp_path / f"{output}.csv")
    assert set(points["source"]) == {"ours", "paper"}
    assert points.query("source == 'paper'")["label"].nunique() >= len(CHAIN_TIMES)


# ---- rotations


def test_figure_five_has_all_kinds_on_the_same_axes_beside_the_papers_number(drawn):
    errors = points(drawn, "a_fig5").query("quantity == 'error'")
    assert set(errors["label"]) == {"random, independent", "super-Fibonacci spiral", "product quadrature"}
    assert set(errors["seed"]) == {0, 1}
    paper = points(drawn, "a_fig5", "paper").iloc[0]
    assert (paper["rotations"], paper["value"]) == (10, 0.15)
    caption = drawn("a_fig5").with_suffix(".rst").read_text()
    for words in (
        "generated data",
        "the first 3 of the monitor's 8 chains",
        "Each seed has 8 repetitions",
        "a relative standard deviation of 25%",
        "all 8 sets of 20 rotations of the super-Fibonacci spiral",
    ):
        assert words in caption
    assert "true" not in caption.lower()


def test_a_missing_or_broken_study_is_one_sentence(tmp_path, write_chain_run, capsys):
    folder = write_chain_run(tmp_path, "proteina-60m", 0)
    command = ["a_fig5", "--tier", "mini", "--out", str(tmp_path / "out"), "--runs", str(folder)]
    table_in(folder, "rotations").write_text("no")
    assert render.main(command) == 1
    assert "rotations.parquet: cannot be read as parquet" in capsys.readouterr().err
    table_in(folder, "rotations").unlink()
    assert render.main(command) == 1
    assert "was measured for it; ask for measure.rotations" in capsys.readouterr().err


# ---- gradients


def test_figure_eight_pairs_percents_and_ratios_of_the_same_steps(drawn):
    ours = points(drawn, "a_fig8")
    assert set(ours["panel"]) == set("abcd")
    assert set(ours["seed"]) == {0}
    for _, part in ours.groupby("panel"):
        steps = [set(of["step"]) for _, of in part.groupby("quantity")]
        assert steps == [set(CHAIN_STEPS[1:-1])] * 2  # where both were measured
    ratio = ours.query("quantity == 'gradient ratio'")["value"]
    assert ratio.between(0.01, 1).all()


@pytest.mark.parametrize(
    ("gradients", "words"),
    [
        (
            {"batches": 1, "rotations": 4},
            "The gradients are from the first 3 of the monitor's 8 chains with 4 rotations; "
            "the percents are from the monitor's 8 chains with 6 rotations.",
        ),
        ({"batches": 3}, "The gradients are from the monitor's 8 chains with 6 rotations;"),
        (
            {"batches": None, "rotations": None},
            "The gradients are from the monitor's 8 chains with 6 rotations;",
        ),
    ],
)
def test_the_caption_says_what_gradients_and_percents_are_of(tmp_path, write_chain_run, gradients, words):
    run = load_run(write_chain_run(tmp_path, "proteina-60m", 0))
    run.config["callbacks"][0]["init_args"] = gradients
    found = gradients_note(run, 10)
    assert found.startswith(words)
    assert f"N is {gradients.get('rotations') or 6} here and 10 in the paper" in found
    del run.config["data"]
    assert gradients_note(run, 10) == ""


def test_figure_eight_says_it(drawn):
    caption = drawn("a_fig8").with_suffix(".rst").read_text()
    assert "The gradients are from the first 3 of the monitor's 8 chains with 4 rotations" in caption


def test_runs_without_gradients_are_one_sentence(tmp_path, write_chain_run, capsys):
    folder = write_chain_run(tmp_path, "proteina-60m", 1)
    assert render.main(["a_fig8", "--tier", "mini", "--out", str(tmp_path), "--runs", str(folder)]) == 1
    assert "measured gradients; set model.init_args.gradients" in capsys.readouterr().err


# ---- landmarks and headlines


def test_landmarks_of_proteina_are_by_time_and_the_papers_are_steps(chain_folders):
    frame = landmarks_frame(load_runs(chain_folders, "mini")).query("estimator == 'ratio of means'")
    assert set(frame["run"]) == {f"{name} t={t:g}" for name in CHAIN_RUNS for t in CHAIN_TIMES}
    last = frame.query("run == 'proteina-400m t=0.8' and landmark == 'end_step'").iloc[0]
    assert last["paper"] == pytest.approx(123_250 / ROWS_PER_STEP["proteina-400m"], rel=0.05)
    assert last["ours"] == pytest.approx(CHAIN_STEPS[-1])
    start = frame.query("run == 'proteina-60m t=0' and landmark == 'start'").iloc[0]
    assert start["paper"] == pytest.approx(14.2, abs=0.1)
    assert start["seeds"] == 2


def test_headlines_name_the_time(chain_folders):
    found = metrics.headlines(load_runs(chain_folders, "mini"))
    assert found["proteina-60m t=0.8"]["end_percent"] > found["proteina-60m t=0"]["end_percent"]
    assert found["proteina-60m t=0.8"]["gradient_ratio_pearson"] > 0.8
    assert found["proteina-60m"]["percent_error_of_10_rotations_random_independent"] > 0
