"""What single layers of a trained, relaxed network do to its equivariance error."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from analysis.measure.__main__ import main
from models.train import main as train
from tests.models.training.run_files import write_run
from tests.models.vn_pointnet.clouds import configuration, write_clouds


@pytest.mark.parametrize("method", ["RPP", "RECM", "ES"])
def test_every_place_that_has_terms_is_left_out_once_and_the_whole_network_has_the_losses_of_its_training(
    tmp_path, monkeypatch, method
):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    config = configuration(write_clouds(Path("clouds.h5")))
    arguments = {"RECM": {"a": 1.0, "max_samples": 8}, "ES": {"epochs": 8, "init": "zero"}}.get(method, {})
    relaxation = {"class_path": f"twirl.relaxation.{method}", "init_args": arguments}
    config["model"]["init_args"] |= {"relaxation": relaxation, "alphas_every": 5}
    folder = write_run(Path(), config).parent
    train(["--config", str(folder / "run.yaml")])
    assert main(["attribution", "--run", str(folder)]) == 0

    metrics = pd.read_parquet(folder / "metrics.parquet").query("step == 12")
    table = pd.read_parquet(folder / "measured" / "attribution.parquet")
    assert set(table["step"]) == {12}
    logged = metrics.query("split == 'val' and weights == 'raw' and readout == 'own'").set_index("metric")[
        "value"
    ]
    own = table[table["without"] == ""].set_index("metric")["value"]
    pd.testing.assert_series_equal(own[logged.index], logged, check_exact=True)
    # A layer whose terms are all pruned has nothing to be left without; what ES is read out as has none.
    alphas = metrics[metrics["metric"].str.startswith("alpha_") & (metrics["split"] == "relaxation")]
    alive = set(alphas[alphas["value"].abs() >= (0.01 if method == "RECM" else 0)]["place"])
    assert set(table["without"]) - {""} == (alive if method != "ES" else set())
    if method == "RPP":
        errors = table[table["metric"] == "L_equiv"].set_index("without")["value"]
        assert (errors.drop("") != errors[""]).all()


def test_a_network_that_is_not_relaxed_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys):
    from tests.models.proteina.chain_runs import configuration as chains
    from tests.models.proteina.chain_runs import write_chains

    monkeypatch.chdir(tmp_path)
    write_chains()
    folder = write_run(Path(), chains("plain", steps=2)).parent
    train(["--config", str(folder / "run.yaml")])
    assert main(["attribution", "--run", str(folder)]) == 1
    assert "attribution: a run of ProteinaTask, whose layers are not relaxed" in capsys.readouterr().err
