"""Percents of an error over training."""

import pytest

from analysis.quantities.errors import largest_percent
from analysis.results import load_runs
from analysis.tasks import KEPT, TASKS


@pytest.fixture(scope="module")
def results(dynamics_folders):
    return load_runs(dynamics_folders, "mini")


def test_the_largest_percent_of_es_is_that_of_its_kept_terms_at_any_step(results):
    for task in TASKS:
        runs = results.of(task.readings["es"].run)
        largest = [run.line("percent", KEPT).value.max() for run in runs]
        found = largest_percent(runs, KEPT)
        assert (found.low, found.high, found.seeds) == (min(largest), max(largest), len(runs))
