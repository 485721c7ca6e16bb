"""The papers' numbers as data: complete, sourced, and consistent with one another."""

import pytest
import yaml

from analysis.reference.paper_curves import DENSITY_CURVES, LOSS_CURVES, PERCENT_CURVES, open_paper_curves
from analysis.reference.printed import numbers, paper_landmarks, tables
from analysis.results import ResultsError


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
    with pytest.raises(ResultsError, match=r"no binned\.csv there"):
        open_paper_curves()


def test_without_a_reference_folder_there_are_no_paper_curves(without_paper):
    assert open_paper_curves() is None
