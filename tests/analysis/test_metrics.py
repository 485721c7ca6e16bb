"""The headline numbers of a tier."""

import json

import pytest

from analysis import metrics


def test_metrics_are_few_numbers_per_run(rendered):
    found = json.loads((rendered / "metrics.json").read_text())
    assert found["escaip-default"]["dip_percent"] == pytest.approx(0.25, abs=0.1)
    assert set(found["vn-rotated-recm"]) == {
        "instance_accuracy",
        "class_accuracy",
        "largest_alpha_W",
        "largest_alpha_b",
        "largest_alpha_noise",
        "active_parameters_over_plain",
        "end_percent",
    }
    assert found["vn-rotated-recm"]["active_parameters_over_plain"] == 1.0
    assert max(found["vn-rotated-recm"][f"largest_alpha_{term}"] for term in ("W", "b", "noise")) < 0.01
    assert found["vn-aligned-recm"]["largest_alpha_W"] > 0.1


def test_metrics_of_runs_without_any_are_one_sentence(tmp_path, write_run, capsys):
    folder = write_run(tmp_path, "escaip-half", 0)
    assert metrics.main(["--tier", "mini", "--out", str(tmp_path), "--runs", str(folder)]) == 1
    assert "none of the given runs has a headline number" in capsys.readouterr().err
