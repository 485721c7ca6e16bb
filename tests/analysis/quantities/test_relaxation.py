"""Places, alphas, parameters and times of relaxed networks."""

import numpy as np
import pandas as pd
import pytest

from analysis.quantities.relaxation import PLACES, active_ratio, alpha, largest_alpha, places, step_time
from analysis.results import load_run, load_runs
from analysis.run_names import vn_run


@pytest.fixture(scope="module")
def results(vn_folders):
    return load_runs(vn_folders, "mini")


def run_of(results, data, method):
    return results.first(vn_run(data, method))


def change_metrics(folder, change):
    """Rewrite a run's metrics.parquet."""
    path = folder / "metrics.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_places_are_those_of_the_network_from_input_to_output():
    network = pytest.importorskip("models.vn_pointnet.network")
    declared = network.VNPointNet(network.VNPointNetConfig(c1=4, c2=4, c3=4, f1=4, f2=4, h1=4, h2=4)).places()
    assert [place.name for place in declared] == list(PLACES)


def test_places_are_ordered_by_depth_and_hold_the_term_asked_for(results):
    run = run_of(results, "aligned", "recm")
    assert places(run) == list(PLACES)
    assert places(run, "b") == [place for place in PLACES if place.endswith(".feature")]
    assert places(run_of(results, "aligned", "plain")) == []
    assert alpha(run, "conv3", "b") is None


def test_the_largest_alpha_is_that_of_its_absolute_value_over_places_and_steady_terms(results):
    run = run_of(results, "rotated", "recm")
    frame = run.metrics[run.metrics["metric"].isin(("alpha_W", "alpha_b"))]
    expected = frame.assign(size=frame["value"].abs()).groupby("step")["size"].max()
    found = largest_alpha(run)
    np.testing.assert_array_equal(found.step, expected.index)
    np.testing.assert_array_equal(found.value, expected)
    assert largest_alpha(run_of(results, "rotated", "plain")) is None


def test_parameters_are_the_plain_networks_and_active_ones_are_relative_to_them(results):
    run = run_of(results, "rotated", "recm")
    assert run.parameters == 9000
    assert active_ratio(run).value[0] == pytest.approx(29 / 9)
    assert active_ratio(run).value[-1] == 1
    assert set(active_ratio(run_of(results, "rotated", "plain")).value) == {1.0}


def test_the_time_of_a_step_leaves_tests_out(results):
    assert step_time(run_of(results, "rotated", "plain")) == pytest.approx(0.05)
    assert step_time(run_of(results, "rotated", "recm")) == pytest.approx(0.07)


def test_where_every_stretch_holds_a_test_their_time_is_counted(tmp_path, write_vn_run):
    folder = write_vn_run(tmp_path, "vn-rotated-plain", 0)
    timing = pd.DataFrame({"step": [100, 200, 300], "wall_s": [10.0, 20.0, 30.0]})
    timing.to_parquet(folder / "timing.parquet", index=False)
    assert step_time(load_run(folder)) == pytest.approx(0.1)
