"""Every published figure and table is drawn again with the points and cells that were frozen."""

import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.reference.paper_curves import open_paper_curves
from analysis.render import render
from tests.workflow.checkout import ROOT

HERE = Path(__file__).parent
RUNS = json.loads((HERE / "runs.json").read_text())
OUTPUTS = [(published, output) for published, outputs in RUNS.items() for output in outputs]


@pytest.mark.skipif(
    not open_paper_curves().with_logged, reason="the paper's curves as logged are absent (REFERENCE_DIR)"
)
@pytest.mark.parametrize(("published", "output"), OUTPUTS, ids=lambda name: name)
def test_an_output_shows_the_same_numbers(published, output, tmp_path):
    folders = [ROOT / "results" / "published" / published / run for run in RUNS[published][output]]
    render(output, published, tmp_path, folders, ["test"])
    found = pd.read_csv(tmp_path / f"{output}.csv")
    frozen = pd.read_csv(HERE / "outputs" / published / f"{output}.csv.xz")
    pd.testing.assert_frame_equal(found, frozen, rtol=1e-5, check_dtype=False)
