"""Rendering: complete, honest, repeatable, and without heavy imports."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from analysis import catalogue, render
from tests.analysis.chain_runs import OF_PROTEINA
from tests.analysis.density_runs import OF_VOXMOL
from workflow.plan import is_figure

FIGURES = ["a_fig1e", "a_fig2", "a_fig6"]
OF_OTHERS = [*OF_PROTEINA, *OF_VOXMOL]
OF_PAPER_B = ["b_active_parameters", "b_alpha", "b_fig2", "b_fig4", "b_fig5"]
BEYOND = ["x1", "x2", "x3", "x4"]
TABLES = ["a_landmarks", "b_table1", "b_table2", "b_table4"]
NAMES = [output.name for output in catalogue.OUTPUTS]


def test_every_output_is_known_and_told_apart_as_figure_or_table():
    here = {*FIGURES, *OF_OTHERS, *OF_PAPER_B, *BEYOND, *TABLES}
    assert here <= set(NAMES)
    assert [name for name in NAMES if name in here and not is_figure(name)] == TABLES


@pytest.mark.parametrize("output", [*FIGURES, *OF_OTHERS, *OF_PAPER_B, *BEYOND])
def test_a_figure_has_all_its_files_and_leaves_no_temporary_one(rendered, output):
    for suffix in (".pdf", ".png", ".csv", ".json", ".rst"):
        assert (rendered / f"{output}{suffix}").stat().st_size > 0
    assert not list(rendered.glob(".*"))


@pytest.mark.parametrize("output", [*FIGURES, "a_landmarks"])
def test_captions_say_generated_data_labels_tier_seeds_and_size(rendered, output):
    caption = (rendered / f"{output}.rst").read_text()
    for words in ("generated data", "GFN2-xTB labels", "Tier mini", "seeds 0, 1, 2", "104k parameters"):
        assert words in caption


@pytest.mark.parametrize("output", FIGURES)
def test_every_percent_panel_also_draws_both_losses_and_the_zero_predictor(rendered, output):
    points = pd.read_csv(rendered / f"{output}.csv")
    ours = points[points["source"] == "ours"]
    for _, panel in ours.groupby("panel"):
        assert {"L_mean", "L_equiv"} <= set(panel["quantity"])
        assert "zero" in set(panel["series"])


def test_figure_two_has_every_run_and_the_default_in_all_panels(rendered):
    ours = pd.read_csv(rendered / "a_fig2.csv").query("source == 'ours'")
    assert set(ours["panel"]) == set("abcdef")
    assert ours["run"].nunique() == 9
    assert set(ours.query("panel == 'b'")["seed"]) == {0, 1, 2}
    assert all("escaip-default" in set(panel["run"]) for _, panel in ours.groupby("panel"))


def test_provenance_names_runs_commit_command_and_digest_in_json_and_image(rendered):
    facts = json.loads((rendered / "a_fig1e.json").read_text())
    assert [*facts["runs"]] == [f"mini/escaip-default/seed{seed}" for seed in (0, 1, 2)]
    assert facts["command"] == "python -m analysis.render a_fig1e"
    assert facts["script"] == "analysis/figures/a_fig1e.py"
    assert len(facts["inputs_digest"]) == 64
    for kind in ("pdf", "png"):
        assert facts["inputs_digest"][:16].encode() in (rendered / f"a_fig1e.{kind}").read_bytes()


def test_fonts_are_embedded_and_no_time_is_written(rendered):
    pdf = (rendered / "a_fig1e.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"CreationDate" not in pdf


@pytest.mark.parametrize("output", ["a_fig1e", "a_landmarks", "b_fig2", "b_table1", "b_table2", "x2", "x4"])
def test_rendering_twice_gives_the_same_bytes(tmp_path, run_folders, vn_folders, dynamics_folders, output):
    for name in "ab":
        folders = [*run_folders, *vn_folders, *dynamics_folders]
        render.render(output, "mini", tmp_path / name, folders, ["again"])
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("output", ["a_fig1e", "a_fig2", "a_fig6"])
def test_without_the_logged_curves_medians_are_drawn_and_the_caption_says_so(
    tmp_path, run_folders, without_paper, output
):
    render.render(output, "mini", tmp_path, run_folders, ["x"])
    assert (
        "the paper's curves, unbiased (lines: medians of bins of steps)"
        in (tmp_path / f"{output}.rst").read_text()
    )
    assert set(pd.read_csv(tmp_path / f"{output}.csv")["source"]) == {"ours", "paper"}


def test_the_papers_landmarks_need_no_curves(tmp_path, run_folders, without_paper):
    render.render("a_landmarks", "mini", tmp_path, run_folders, ["x"])
    assert pd.read_csv(tmp_path / "a_landmarks.csv")["paper"].notna().any()


def test_runs_that_a_tier_leaves_out_are_named_and_the_rest_is_drawn(tmp_path, run_folders):
    some = [folder for folder in run_folders if "train-5k" not in str(folder)]
    render.render("a_fig6", "mini", tmp_path, some, ["x"])
    assert "Not part of this tier: escaip-train-5k." in (tmp_path / "a_fig6.rst").read_text()
    assert pd.read_csv(tmp_path / "a_fig6.csv").query("source == 'ours'")["run"].nunique() == 3


def test_a_figure_without_its_runs_is_one_sentence_and_leaves_nothing(tmp_path, run_folders, capsys):
    sgd = [str(folder) for folder in run_folders if "sgd" in str(folder)]
    assert render.main(["a_fig2", "--tier", "mini", "--out", str(tmp_path), "--runs", *sgd]) == 1
    message = capsys.readouterr().err.strip()
    assert message.startswith("a_fig2 needs escaip-default, not given for tier mini")
    assert "\n" not in message
    assert not list(tmp_path.iterdir())


def test_an_unknown_output_is_one_sentence(tmp_path, run_folders, capsys):
    assert (
        render.main(["a_fig99", "--tier", "mini", "--out", str(tmp_path), "--runs", str(run_folders[0])]) == 1
    )
    assert "there is no figure or table 'a_fig99'" in capsys.readouterr().err


def test_real_geometries_with_xtb_labels_are_named_so(tmp_path, write_run):
    data = {"labels": "GFN2-xTB", "source": "geometries", "files": ["des-monomers.hdf5"]}
    folder = write_run(tmp_path, "escaip-default", 0, tier="subset", data=data)
    render.render("a_fig1e", "subset", tmp_path / "out", [folder], ["x"])
    caption = (tmp_path / "out" / "a_fig1e.rst").read_text()
    assert "Real geometries (SPICE: DES monomers) with GFN2-xTB labels" in caption
    assert "generated" not in caption
    assert "one seed (0)" in caption


def test_the_table_has_ours_the_papers_and_their_difference_with_spread(rendered):
    frame = pd.read_csv(rendered / "a_landmarks.csv").query("estimator == 'ratio of means'")
    dip = frame.query("run == 'escaip-default' and landmark == 'dip'").iloc[0]
    assert dip["difference"] == pytest.approx(dip["ours"] - dip["paper"], rel=1e-4)
    assert dip["ours_low"] <= dip["ours"] <= dip["ours_high"]
    assert (dip["seeds"], dip["replicates"], dip["tier"]) == (3, 3, "mini")
    text = (rendered / "a_landmarks.md").read_text()
    widths = {line.count("|") for line in text.splitlines()}
    assert len(widths) == 1
    for whose in ("ours", "ours, mean of ratios", "paper", "difference"):
        assert f"| {whose} |" in text


def test_rendering_imports_neither_torch_nor_seaborn():
    code = (
        "import sys, importlib, analysis.catalogue, analysis.render, analysis.gallery\n"
        "for output in analysis.catalogue.OUTPUTS: importlib.import_module(output.module)\n"
        "print(sorted({'torch', 'lightning', 'seaborn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
