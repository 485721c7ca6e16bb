"""VoxMol's figures: both zero predictors, all rotations of the grid, latents and their test, the paper's curves."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis import metrics, plateau, render
from analysis.densities import course_sentence, lines_sentence
from analysis.figures.a_fig1e import VOXMOL
from analysis.latents import compare, read_latents
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
    assert "(medians of 20 bins a decade)" in (tmp_path / "a_fig4.rst").read_text()


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


def test_captions_tell_the_course_of_each_run_and_how_it_was_measured(tmp_path, write_density_run):
    usual = load_run(write_density_run(tmp_path, "voxmol-7m", 0))
    other = load_run(write_density_run(tmp_path, "voxmol-111m", 0, rotations="octahedral"))
    assert "4 rotations per molecule drawn anew from the 16 that keep an axis, as the paper's," in (
        lines_sentence([usual])
    )
    assert "from the 24 of the grid and unbiased" in lines_sentence([other])
    percent, mean = (usual.line(name, EMA) for name in ("percent", "L_mean"))
    least = int(np.argmin(percent.value))
    said = course_sentence([("8k", usual)])
    assert f"8k {percent.value[0]:.2g}, " in said
    assert f"{percent.value[least]:.2g} (step {percent.step[least]:.0f}, " in said
    assert f"{mean.value[least] / ZERO:.2g}) and {percent.value[-1]:.2g}." in said
    never = replace(usual, metrics=usual.metrics.query("step < 56"))
    assert "no such step" in course_sentence([("8k", never)])
    with pytest.raises(ResultsError, match="does not say by which rotations"):
        lines_sentence([replace(usual, config={"run": {}})])


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
        "a_fig4": [
            "where its text says 5 to 10",
            "perfectly equivariant",
            "are not expected",
        ],
        "a_fig11": ["0.6 (equivariance), 0.64 (invariance) and 0.58"],
    }
    assert all(words in caption for words in expected[output])


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


def test_figure_one_has_three_systems_and_what_a_predictor_of_nothing_explains(shared):
    ours = points(shared, "a_fig1e")
    panels = {panel: set(part["run"]) for panel, part in ours.groupby("panel")}
    assert panels == {
        "EScAIP": {"escaip-default"},
        "Proteína": {"proteina-400m"},
        "VoxMol": {VOXMOL[0], VOXMOL[-1]},
    }
    caption = (shared / "a_fig1e.rst").read_text()
    for words in ("EScAIP 0.", "Proteína 0.", "VoxMol 0.9", "near 1 the dip is that of a null predictor"):
        assert words in caption


def test_the_dip_at_the_zero_predictor_has_ratio_one(density_folders):
    step, percent, ratio = plateau.at_dip(load_run(density_folders[0]))
    assert 56 <= step <= 226
    assert percent < 6
    assert ratio == pytest.approx(1, abs=0.15)


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


def latents(turned, others, kind="pooled"):
    rows = [(k, "x", 90, kind, value) for k, value in enumerate(turned)]
    rows += [(k, "x", 360, kind, 1.0) for k in range(len(turned))]
    rows += [(k, "", 0, "other molecule", value) for k, value in enumerate(others)]
    return pd.DataFrame(rows, columns=["sample", "axis", "angle", "kind", "cosine"])


def test_the_comparison_knows_the_answers_of_separate_and_of_equal_samples():
    x = np.linspace(0.4, 0.6, 50)
    apart = compare(latents(x + 0.3, x), "pooled")
    assert (apart.superiority, apart.molecules) == (1.0, 50)
    assert apart.median == pytest.approx(0.8)  # the whole turns are left out
    assert apart.other == pytest.approx(0.5)
    assert apart.p < 1e-12
    same = compare(latents(x, x), "pooled")
    assert same.superiority == pytest.approx(0.5)
    assert same.p == pytest.approx(1.0)


def test_without_different_molecules_there_is_a_median_and_no_test():
    found = compare(latents([0.5, 0.7], []), "pooled")
    assert found.median == pytest.approx(0.6)
    assert np.isnan(found.p)


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


def test_headlines_hold_medians_and_effect_sizes(rendered, shared):
    found = metrics.headlines(rendered)["voxmol-111m"]
    assert found["latent_cosine_unpooled_median"] == pytest.approx(0.6, abs=0.05)
    assert found["latent_cosine_pooled_median_of_different_molecules"] == pytest.approx(0.58, abs=0.05)
    assert 0.5 < found["latent_cosine_pooled_superiority"] <= 1
    assert metrics.headlines(shared)["voxmol-1pct"]["L_mean_over_zero_at_dip"] == pytest.approx(1, abs=0.15)


def test_missing_or_broken_latents_are_one_sentence(tmp_path, write_density_run, capsys):
    folder = write_density_run(tmp_path, "voxmol-111m", 0)
    command = ["a_fig11", "--tier", "mini", "--out", str(tmp_path / "out"), "--runs", str(folder)]
    table = read_latents(load_run(folder))
    for content, message in (
        (None, "holds latents.parquet; set model.init_args.latents.molecules"),
        (b"no", "latents.parquet: cannot be read as parquet"),
        (table.drop(columns="axis"), "lacks the column axis"),
        (table[table["kind"] == "pooled"], "holds no cosines of turned molecules"),
    ):
        if content is None:
            (folder / "latents.parquet").unlink()
        elif isinstance(content, bytes):
            (folder / "latents.parquet").write_bytes(content)
        else:
            content.to_parquet(folder / "latents.parquet", index=False)
        assert render.main(command) == 1
        assert message in capsys.readouterr().err
