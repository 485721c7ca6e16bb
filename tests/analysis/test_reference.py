"""The papers' numbers as data: complete, sourced, and consistent with one another."""

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.reference.paper_curves import (
    BINNED,
    DENSITY_CURVES,
    GRADIENT_LINES,
    LOSS_CURVES,
    PERCENT_CURVES,
    TIMED_CURVES,
    TIMES,
    PaperCurves,
    open_paper_curves,
)
from analysis.reference.printed import numbers, paper_landmarks, tables
from analysis.results import ResultsError


@pytest.fixture
def logged() -> PaperCurves:
    """The paper's curves as logged."""
    paper = open_paper_curves()
    if not paper.with_logged:
        pytest.skip("the paper's curves as logged are absent (REFERENCE_DIR)")
    return paper


@pytest.mark.parametrize("paper", ["a", "b"])
def test_every_printed_number_has_a_source(paper):
    assert all(number.source for number in numbers(paper).values())
    assert all(table.source for table in tables(paper).values())


def test_tables_are_rectangular():
    for table in tables("b").values():
        assert {len(row) for row in table.rows.values()} == {len(table.columns)}


def test_recm_is_best_in_the_tables_where_the_paper_says_so():
    nbody = tables("b")["table_2_nbody"]
    assert min(nbody.rows, key=lambda row: nbody.cell(row, "mse")) == "SEGNN_RECM"
    accuracy = tables("b")["table_1"]
    assert accuracy.cell("VN-PN+RECM", "rotated_instance") == 0.80


def test_printed_landmarks_agree_with_the_curves_where_they_can():
    landmarks = paper_landmarks()
    default = landmarks["fig2b", "replicate 1"]
    assert default["dip"] == pytest.approx(numbers("a")["escaip.dip"].value, rel=0.05)
    assert default["dip_step"] == pytest.approx(numbers("a")["escaip.dip_step_adam_1e-5"].value, rel=0.01)
    assert default["end"] > 5 * numbers("a")["escaip.final"].value


def test_every_run_has_landmarks_of_the_paper_beside_it():
    landmarks = paper_landmarks()
    assert all(key in landmarks for keys in PERCENT_CURVES.values() for key in keys)
    assert all((file, series) in landmarks for file, _, series in DENSITY_CURVES.values())


def test_runs_and_paper_curves_are_named_as_declared():
    with open("config/runs/escaip.yaml") as file:
        declared = yaml.safe_load(file)["runs"]
    assert set(PERCENT_CURVES) == set(declared)
    assert set(LOSS_CURVES) <= set(declared)
    with open("config/runs/voxmol.yaml") as file:
        assert set(DENSITY_CURVES) == set(yaml.safe_load(file)["runs"])


def test_a_reference_folder_asked_for_by_name_must_hold_curves(monkeypatch, tmp_path):
    monkeypatch.setenv("REFERENCE_DIR", str(tmp_path))
    with pytest.raises(ResultsError, match=r"no fig\*\.csv there"):
        open_paper_curves()


@pytest.mark.parametrize("named", [None, "nowhere"])
def test_without_the_logged_curves_there_are_medians_of_every_curve(
    without_paper, monkeypatch, tmp_path, named
):
    if named:
        monkeypatch.setenv("REFERENCE_DIR", str(tmp_path / named))
    paper = open_paper_curves()
    assert not paper.with_logged
    for run in (*PERCENT_CURVES, *DENSITY_CURVES):
        assert all(len(curve.median) and curve.logged is None for curve in paper.percent_of(run)), run
    for run in (*LOSS_CURVES, *DENSITY_CURVES):
        assert {"L_mean", "L_equiv"} <= set(paper.losses_of(run)), run
    for run in TIMED_CURVES:
        assert all("percent" in paper.timed(run, t) for t in TIMES), run
    assert set(paper.last_bars()) == set(TIMES)
    assert all(len(paper.gradient_line(t)) for t in TIMES)


def test_medians_are_the_same_with_and_without_the_logged_curves(logged, monkeypatch, tmp_path):
    monkeypatch.setenv("REFERENCE_DIR", str(tmp_path / "nowhere"))
    alone = open_paper_curves()
    for run in PERCENT_CURVES:
        for ours, theirs in zip(alone.percent_of(run), logged.percent_of(run), strict=True):
            assert np.array_equal(ours.median.value, theirs.median.value)
            assert len(theirs.logged) > len(theirs.median)


def test_committed_bins_bars_and_lines_are_those_of_the_folder(logged):
    def read(name):
        text = dict.fromkeys(("file", "figure", "panel", "series", "variant", "t"), str)
        return pd.read_csv(logged.folder / f"{name}.csv", dtype=text, keep_default_na=False)

    bars, lines = read("fig3b"), pd.read_parquet(GRADIENT_LINES)
    pd.testing.assert_frame_equal(pd.read_parquet(BINNED), read("binned"))
    assert logged.last_bars() == pytest.approx(
        dict(zip(bars["t"].astype(float), 100 * bars["y"], strict=True))
    )
    assert np.array_equal(lines[["ratio", "fraction"]], read("fig8")[["x", "y"]])


def test_the_digest_is_of_what_was_read(without_paper):
    one, two = open_paper_curves(), open_paper_curves()
    assert one.digest() is None
    one.percent_of("escaip-default")
    two.losses_of("escaip-default")
    assert one.digest() is not None
    assert one.digest() == two.digest()
    two.gradient_line(0.9)
    assert one.digest() != two.digest()


def test_the_digest_tells_logged_curves_from_medians_alone(logged, monkeypatch, tmp_path):
    logged.percent_of("escaip-default")
    monkeypatch.setenv("REFERENCE_DIR", str(tmp_path / "nowhere"))
    alone = open_paper_curves()
    alone.percent_of("escaip-default")
    assert alone.digest() != logged.digest()
