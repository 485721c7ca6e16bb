"""VoxMol's figures: both zero predictors, all rotations of the grid, latents and their test, the paper's curves."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis import metrics, render
from analysis.figures.a_fig1e import VOXMOL
from analysis.measure.registry import table_in
from analysis.notes import density_note
from analysis.quantities.landmarks import run_landmarks
from analysis.quantities.latents import read_latents
from analysis.reference.paper_curves import DENSITY_CURVES, DENSITY_ZERO, open_paper_curves
from analysis.results import ResultsError, load_run, load_runs
from analysis.tables.a_landmarks import landmarks_frame
from models.training.series import EMA
from tests.analysis.density_runs import DENSITY_RUNS, DENSITY_STEPS, MOLECULES, ZERO

needs_logged = pytest.mark.skipif(
    not open_paper_curves().with_logged, reason="the paper's curves as logged are absent (REFERENCE_DIR)"
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, chain_folders, run_folders, density_folders):
    """What the three systems share, from the runs of all."""
    out = tmp_path_factory.mktemp("shared_figures")
    for output in ("a_fig1e", "a_landmarks"):
        render.render(output, "mini", out, [*chain_folders, *run_folders, *density_folders], ["x"])
    return out


def points(folder, output, source="ours"):
    return pd.read_csv(folder / f"{output}.csv").query(f"source == '{source}'")


def test_figure_four_has_every_run_and_the_largest_in_both_rows(rendered):
    ours = points(rendered, "a_fig4").query("series != 'zero'")
    panels = {panel: set(part["run"]) for panel, part in ours.groupby("panel")}
    assert set(panels) == set("abcdef")
    assert panels["a"] == panels["b"] == panels["c"] == set(DENSITY_RUNS) - {"voxmol-28m", "voxmol-7m"}
    assert panels["d"] == panels["e"] == panels["f"] == {"voxmol-111m", "voxmol-28m", "voxmol-7m"}
    assert set(ours["seed"]) == {0}


def test_the_zero_predictor_is_drawn_in_every_panel_of_losses(rendered):
    zeros = points(rendered, "a_fig4").query("series == 'zero'")
    levels = {panel: set(part["value"]) for panel, part in zeros.groupby("panel")}
    assert levels == {panel: {ZERO} for panel in "bcef"}


def test_the_papers_zero_predictor_is_beside_ours(rendered, shared):
    zeros = points(rendered, "a_fig4", "paper").query("series == 'zero'")
    assert set(zeros["panel"]) == set("bcef")
    assert set(points(shared, "a_fig1e", "paper").query("series == 'zero'")["value"]) == {DENSITY_ZERO}


def test_figure_four_has_the_papers_medians_without_its_logged_curves(
    tmp_path, density_folders, without_paper
):
    render.render("a_fig4", "mini", tmp_path, density_folders, ["x"])
    theirs = points(tmp_path, "a_fig4", "paper").query("series == 'paper'")
    assert set(theirs["panel"]) == set("abcdef")
    assert "(lines: medians of bins of steps)" in (tmp_path / "a_fig4.rst").read_text()


def test_where_losses_pass_the_zero_predictor_is_marked_on_every_percent(rendered, density_folders):
    marks = points(rendered, "a_fig4").query('estimator == "where L_mean passes zero\'s"')
    assert {panel: set(part["run"]) for panel, part in marks.groupby("panel")} == {
        "a": set(DENSITY_RUNS) - {"voxmol-28m", "voxmol-7m"},
        "d": {"voxmol-111m", "voxmol-28m", "voxmol-7m"},
    }
    run = load_run(density_folders[0])
    (mark,) = marks.query("panel == 'a' and run == 'voxmol-111m'").itertuples()
    assert run.line("L_mean", EMA).at(mark.step) == pytest.approx(ZERO, rel=0.02)
    assert mark.value == pytest.approx(run.line("percent", EMA).at(mark.step), rel=0.02)


def test_notes_say_how_many_rotations_of_which_set_a_run_is_measured_by(tmp_path, write_density_run):
    usual = load_run(write_density_run(tmp_path, "voxmol-7m", 0))
    other = load_run(write_density_run(tmp_path, "voxmol-111m", 0, rotations="octahedral"))
    assert "4 rotations per molecule, drawn anew from the 16 that keep an axis" in density_note([usual])
    assert "from the 24 of the grid, and unbiased" in density_note([other])
    with pytest.raises(ResultsError, match="does not say by which rotations"):
        density_note([replace(usual, config={"run": {}})])


def test_percents_under_all_rotations_are_drawn_as_such(rendered):
    ours = points(rendered, "a_fig4").query("estimator == 'all 24 rotations'")
    assert set(ours["quantity"]) == {"percent"}
    assert set(ours["panel"]) == {"a", "d"}
    assert set(ours.query("panel == 'a' and run == 'voxmol-111m'")["step"]) == set(DENSITY_STEPS)


@pytest.mark.parametrize("output", ["a_fig4", "a_fig11"])
def test_captions_say_generated_data_and_what_the_paper_prints(rendered, output):
    caption = (rendered / f"{output}.rst").read_text()
    assert "generated data: ensembles (ETKDG, MMFF94s)" in caption
    expected = {
        "a_fig4": "predictor that always answers zero (dotted)",
        "a_fig11": "0.6 (equivariance), 0.64 (invariance) and 0.58",
    }
    assert expected[output] in caption


def test_a_tier_without_the_largest_network_draws_the_others(tmp_path, write_density_run):
    real = {"tier": "subset-published", "source": "geom", "dataset": "GEOM-Drugs"}
    folders = [write_density_run(tmp_path, name, 0, **real) for name in ("voxmol-28m", "voxmol-7m")]
    render.render("a_fig4", "subset-published", tmp_path / "out", folders, ["x"])
    caption = (tmp_path / "out" / "a_fig4.rst").read_text()
    assert "Not part of this tier: voxmol-111m, voxmol-50pct" in caption
    assert "generated" not in caption
    ours = points(tmp_path / "out", "a_fig4")
    assert set(ours["panel"]) == set("abc")
    assert set(ours["run"]) == {"voxmol-28m", "voxmol-7m"}


def test_without_runs_on_everything_there_is_no_figure_four(tmp_path, write_density_run, capsys):
    folder = write_density_run(tmp_path, "voxmol-1pct", 0)
    assert render.main(["a_fig4", "--tier", "mini", "--out", str(tmp_path), "--runs", str(folder)]) == 1
    assert "no network was trained on all of it in tier mini" in capsys.readouterr().err


# ---- the three systems


def test_figure_one_has_three_systems(shared):
    ours = points(shared, "a_fig1e")
    panels = {panel: set(part["run"]) for panel, part in ours.groupby("panel")}
    assert panels == {
        "EScAIP": {"escaip-default"},
        "Proteína": {"proteina-400m"},
        "VoxMol": {VOXMOL[0], VOXMOL[-1]},
    }
    caption = (shared / "a_fig1e.rst").read_text()
    for words in ("EScAIP: every seed.", "Proteína: a curve per time", "VoxMol: the largest network"):
        assert words in caption


def test_the_dip_at_the_zero_predictor_has_ratio_one(density_folders):
    row = run_landmarks(load_run(density_folders[0]))
    assert 56 <= row["dip_step"] <= 226
    assert row["dip"] < 6
    assert row["L_mean_at_dip"] == pytest.approx(1, abs=0.15)


@needs_logged
def test_the_papers_percents_and_losses_agree():
    paper = open_paper_curves()
    for run in DENSITY_CURVES:
        (percent,), losses = paper.percent_of(run), paper.losses_of(run)
        step = percent.logged.step
        mean, equiv = (losses[name].logged for name in ("L_mean", "L_equiv"))
        assert np.array_equal(mean.step, step)
        ratio = 100 * equiv.value / (mean.value + equiv.value) / percent.logged.value
        # The 1% run was continued by a second one: where both measured, the mean of ratios is not that of means.
        agree = np.isclose(ratio, 1, rtol=0, atol=0.01)
        assert agree.mean() > 0.9 if run == "voxmol-1pct" else agree.all()


def test_landmarks_of_voxmol_stand_beside_the_papers(density_folders):
    frame = landmarks_frame(load_runs(density_folders, "mini")).query("estimator == 'ratio of means'")
    assert set(frame["run"]) == set(DENSITY_RUNS)
    at_dip = frame.query("run == 'voxmol-10pct' and landmark == 'L_mean_at_dip'").iloc[0]
    assert at_dip["paper"] == pytest.approx(1, abs=0.1)
    assert at_dip["ours"] == pytest.approx(1, abs=0.15)
    start = frame.query("run == 'voxmol-10pct' and landmark == 'start'").iloc[0]
    assert start["paper"] == pytest.approx(87.3, abs=0.1)


# ---- latents


def test_figure_eleven_holds_every_cosine_and_the_papers_medians(rendered):
    ours = points(rendered, "a_fig11")
    cosines = ours[ours["quantity"] == "cosine"]
    violins = cosines.query("seed == 0").groupby(["panel", "kind", "axis", "angle"], dropna=False).size()
    assert len(violins) == 2 * 16
    between = violins.index.get_level_values("kind").str.startswith("other")
    assert set(violins[~between]) == {MOLECULES}
    assert set(violins[between]) == {MOLECULES // 2}
    assert f"{MOLECULES // 2} pairs of different molecules" in (rendered / "a_fig11.rst").read_text()
    paper = points(rendered, "a_fig11", "paper").set_index("kind")["value"]
    assert paper.to_dict() == {"unpooled": 0.6, "pooled": 0.64, "other molecule": 0.58}


def test_headlines_hold_medians_and_effect_sizes(density_folders):
    headlines = metrics.headlines(load_runs(density_folders, "mini"))
    found = headlines["voxmol-111m"]
    assert found["latent_cosine_unpooled_median"] == pytest.approx(0.6, abs=0.05)
    assert found["latent_cosine_pooled_median_of_different_molecules"] == pytest.approx(0.58, abs=0.05)
    assert 0.5 < found["latent_cosine_pooled_superiority"] <= 1
    assert headlines["voxmol-1pct"]["L_mean_over_zero_at_dip"] == pytest.approx(1, abs=0.15)


def test_missing_or_broken_latents_are_one_sentence(tmp_path, write_density_run, capsys):
    folder = write_density_run(tmp_path, "voxmol-111m", 0)
    command = ["a_fig11", "--tier", "mini", "--out", str(tmp_path / "out"), "--runs", str(folder)]
    table = read_latents(load_run(folder))
    for content, message in (
        (None, "was measured for it; ask for measure.latents"),
        (b"no", "latents.parquet: cannot be read as parquet"),
        (table.drop(columns="axis"), "lacks the column axis"),
        (table[table["kind"] == "pooled"], "holds no cosines of turned molecules"),
    ):
        if content is None:
            table_in(folder, "latents").unlink()
        elif isinstance(content, bytes):
            table_in(folder, "latents").write_bytes(content)
        else:
            content.to_parquet(table_in(folder, "latents"), index=False)
        assert render.main(command) == 1
        assert message in capsys.readouterr().err
