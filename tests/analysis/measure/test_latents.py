"""Latents of a trained run under rotations."""

from pathlib import Path

import pandas as pd
import torch

from analysis.measure.__main__ import main
from models.train import main as train
from tests.models.training.run_files import write_run
from tests.models.voxmol.densities import configuration, write_molecules


def test_latents_are_measured_of_a_finished_run_and_twice_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    path = write_run(Path(), configuration(write_molecules(tmp_path / "molecules.h5"), steps=2))
    train(["--config", str(path)])
    command = ["latents", "--run", str(path.parent), "--settings", '{"molecules": 4, "batch_size": 2}']
    table = path.parent / "measured" / "latents.parquet"
    contents = []
    for _ in range(2):
        assert main(command) == 0
        contents.append(table.read_bytes())
    assert contents[0] == contents[1]
    cosines = pd.read_parquet(table)
    assert list(cosines.columns) == ["sample", "axis", "angle", "kind", "cosine"]
    assert sorted(cosines["sample"].unique()) == [0, 1, 2, 3]
    assert sorted(cosines[cosines["kind"] == "other molecule"]["sample"]) == [0, 2]
    assert cosines.query("kind == 'unpooled' and angle == 0")["cosine"].min() > 0.9999
