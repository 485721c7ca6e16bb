"""What a rotation study keeps is enough for every estimate, and is written whole."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.measure.__main__ import main
from analysis.measure.rotations import _rows, gram_sums
from analysis.measure.settings import RotationsSettings
from data.settings import plain
from data.validation import SettingsError, read
from models.train import main as train
from tests.models.proteina.chain_runs import configuration, write_chains
from tests.models.proteina.chains import chains
from tests.models.proteina.test_network import task
from tests.models.training.run_files import write_run
from twirl.decomposition import concat
from twirl.rotations import RotationSet, rotation_set


@pytest.fixture(scope="module")
def problems():
    """Two batches of equal length, so that their samples weigh alike."""
    model = task()
    found = [chains(7, 5, seed=k, length=7).to(torch.float64) for k in range(2)]
    batches = [
        type(b)(b.coordinates, b.mask.bool(), b.residue_index.long(), b.chain_breaks.bool(), b.chains.long())
        for b in found
    ]
    return [model.twirl_problems(batch)["raw/t=0.8"] for batch in batches]


def table(problems, kind, size, sets):
    with torch.no_grad():
        return _rows(gram_sums(problems, sets, chunk=4), kind, size)


def test_any_choice_from_the_pool_has_the_losses_of_its_decomposition(problems):
    pool = [rotation_set("iid", 1, torch.Generator().manual_seed(k)) for k in range(6)]
    rows = table(problems, "iid", 1, pool)
    G = np.zeros((6, 6))
    G[rows["first"], rows["second"]] = G[rows["second"], rows["first"]] = rows["product"]
    chosen = [0, 2, 2, 5]
    shares = np.bincount(chosen, minlength=6) / 4
    elements = torch.cat([pool[k].elements for k in chosen])
    some = RotationSet(elements, torch.full((4,), 0.25, dtype=torch.float64), "iid")
    with torch.no_grad():
        expected = concat([problem.decompose(some) for problem in problems]).naive
    assert shares @ np.diag(G) == pytest.approx(expected.L_total)
    assert shares @ G @ shares == pytest.approx(expected.L_mean)
    assert rows["total"].dropna().to_numpy() == pytest.approx(np.diag(G))


@pytest.mark.parametrize(("kind", "size"), [("super_fibonacci", 5), ("product_quadrature", 4)])
def test_a_deterministic_set_has_the_losses_of_its_decomposition(problems, kind, size):
    sets = [rotation_set(kind, size, torch.Generator().manual_seed(k)) for k in range(3)]
    rows = table(problems, kind, size, sets)
    own = rows[rows["first"] == rows["second"]]
    assert len(rows) == 6
    with torch.no_grad():
        found = [concat([problem.decompose(each) for problem in problems]).naive for each in sets]
    assert own["product"].to_numpy() == pytest.approx([each.L_mean for each in found])
    assert own["total"].to_numpy() == pytest.approx([each.L_total for each in found])


def test_settings_that_allow_no_spread_are_refused():
    with pytest.raises(SettingsError, match=r"measure.rotations: pool.* minimum of 3"):
        read(RotationsSettings, {"pool": 2}, "measure.rotations")


def test_a_run_keeps_the_weights_that_a_measurement_takes_and_the_table_says_of_what_it_is(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_chains()
    config = configuration("kept")
    config["trainer"]["snapshots"] = [0, 5]
    folder = write_run(Path(), config).parent
    train(["--config", str(folder / "run.yaml")])
    asked = {"t": 0.5, "pool": 4, "turns": 2, "super_fibonacci": [3], "product_quadrature": [4]}
    tables = {}
    for step in (0, 5):
        settings = json.dumps(asked | {"step": step})
        assert main(["rotations", "--run", str(folder), "--settings", settings]) == 0
        tables[step] = pd.read_parquet(folder / "measured" / "rotations.parquet")
        assert tables[step].attrs == plain(read(RotationsSettings, asked | {"step": step}, "rotations"))
    study = tables[5]
    assert study.groupby(["kind", "rotations"]).size().to_dict() == {
        ("iid", 1): 10,
        ("super_fibonacci", 3): 3,
        ("product_quadrature", 4): 3,
    }
    assert (set(study["step"]), set(study["weights"]), set(study["t"])) == ({5}, {"ema"}, {0.5})
    assert not np.allclose(study["product"], tables[0]["product"])
    assert not list(folder.glob("measured/.*"))


def test_weights_that_were_not_kept_are_asked_for_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_chains()
    folder = write_run(Path(), configuration("none", steps=2)).parent
    train(["--config", str(folder / "run.yaml")])
    assert main(["rotations", "--run", str(folder), "--settings", '{"step": 1}']) == 1
    assert "weights-1.ckpt: missing; add 1 to trainer.snapshots" in capsys.readouterr().err
