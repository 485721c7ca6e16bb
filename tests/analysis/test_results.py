"""Run folders: what is read, and what is said of those that are missing or half-written."""

import numpy as np
import pandas as pd
import pytest

from analysis.results import ResultsError, load_run, load_runs
from models.training.series import EMA, RAW


@pytest.fixture
def folder(tmp_path, write_run):
    return write_run(tmp_path, "escaip-default", 0)


def test_a_complete_folder_reads_as_curves(folder):
    run = load_run(folder)
    assert (run.id, run.label, run.parameters) == ("mini/escaip-default/seed0", "104k", 104_346)
    assert run.has_closed_form()
    assert run.plotted_series == EMA
    assert run.zero_loss == pytest.approx(1.08)
    percent, mean, equiv = (run.line(name, EMA) for name in ("percent", "L_mean", "L_equiv"))
    np.testing.assert_allclose(percent.value, 100 * equiv.value / (mean.value + equiv.value))


def test_without_a_closed_form_the_line_is_the_sampled_estimate(folder):
    metrics = pd.read_parquet(folder / "metrics.parquet")
    metrics[~metrics["metric"].str.endswith("_exact")].to_parquet(folder / "metrics.parquet", index=False)
    run = load_run(folder)
    assert not run.has_closed_form()
    np.testing.assert_array_equal(run.line("percent", EMA).value, run.curve("percent", EMA).value)


def test_without_averaged_weights_the_raw_ones_are_plotted(folder):
    metrics = pd.read_parquet(folder / "metrics.parquet")
    metrics[metrics["weights"] != "ema"].to_parquet(folder / "metrics.parquet", index=False)
    assert load_run(folder).plotted_series == RAW


@pytest.mark.parametrize("name", ["run.yaml", "metrics.parquet", "timing.parquet", "summary.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ResultsError, match=rf"seed0: {name} missing, so the training has not finished"):
        load_runs([folder], "mini")


def test_all_unfinished_folders_are_named_at_once(folder, tmp_path):
    other = tmp_path / "mini" / "escaip-sgd" / "seed0"
    (folder / "summary.json").unlink()
    with pytest.raises(
        ResultsError, match=r"escaip-default/seed0 and .*escaip-sgd/seed0.*summary.json"
    ) as error:
        load_runs([folder, other], "mini")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["metrics.parquet", "summary.json"])
def test_a_file_cut_short_is_refused_with_a_remedy(folder, name):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ResultsError, match=rf"{name}: .*cut short.*train again"):
        load_run(folder)


def test_a_table_of_another_shape_is_refused(folder):
    pd.DataFrame({"step": [1], "value": [2.0]}).to_parquet(folder / "metrics.parquet")
    with pytest.raises(ResultsError, match="lacks the column samples_seen, split"):
        load_run(folder)


def test_an_empty_table_is_refused(folder):
    pd.read_parquet(folder / "metrics.parquet").iloc[:0].to_parquet(folder / "metrics.parquet")
    with pytest.raises(ResultsError, match="holds no measurement"):
        load_run(folder)


def test_runs_of_another_tier_are_refused(folder):
    with pytest.raises(ResultsError, match="not of tier subset"):
        load_runs([folder], "subset")


def test_the_same_run_twice_is_refused(folder):
    with pytest.raises(ResultsError, match="given twice"):
        load_runs([folder, folder], "mini")
