"""A run is exact: it repeats, resumes, refuses and reports as promised."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from models.train import main, train_configured
from models.training.configuration import complete
from models.training.files import locked
from models.training.run import UnfinishedError
from tests.models.escaip.molecules import write_molecules
from tests.models.escaip.runs import configuration
from tests.models.training.run_files import write_run
from workflow import plan as runs

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A small store in an empty folder, which becomes the working directory."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return write_molecules(Path("molecules.h5"))


NEXT_TO_NOTHING = 1e-300  # energies in this unit are infinite


def metrics_bytes(folder: Path) -> bytes:
    return (folder / "metrics.parquet").read_bytes()


def run(config: dict, *overrides: str) -> Path:
    path = write_run(Path(), config)
    main(["--config", str(path), *overrides])
    return path.parent


def test_two_fresh_runs_of_the_smoke_settings_have_identical_metrics(store, tmp_path, monkeypatch):
    smoke = next(run for run in runs.load({"tier": "smoke"}).runs if run.system == "escaip").resolved()
    smoke["data"]["init_args"]["store"] = str(store)
    first = metrics_bytes(run(smoke))
    elsewhere = tmp_path / "again"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    write_molecules(elsewhere / "molecules.h5")
    assert metrics_bytes(run(smoke)) == first


def test_another_seed_gives_other_metrics(store):
    assert metrics_bytes(run(configuration(store))) != metrics_bytes(run(configuration(store, seed=1)))


def test_a_killed_run_resumes_to_the_same_metrics_bit_for_bit(store):
    config = configuration(store, name="killed", steps=60)
    config["trainer"]["checkpoint_every"] = 7
    path = write_run(Path(), config)
    process = subprocess.Popen(
        [sys.executable, "-m", "models.train", "--config", str(path)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not any('"step": 21,' in rows.read_text() for rows in path.parent.rglob("metrics.jsonl")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (path.parent / "metrics.parquet").exists(), "outputs appeared before the run was complete"
    assert list(path.parent.glob("checkpoints/*/last.ckpt"))

    main(["--config", str(path)])
    whole = json.loads(json.dumps(config))
    whole["run"]["name"] = "whole"
    assert metrics_bytes(path.parent) == metrics_bytes(run(whole))


def test_a_finished_run_only_writes_its_outputs_again(store):
    folder = run(configuration(store))
    before = metrics_bytes(folder)
    (folder / "metrics.parquet").unlink()
    main(["--config", str(folder / "run.yaml")])
    assert metrics_bytes(folder) == before


def test_a_changed_configuration_trains_anew_and_the_old_one_is_not_lost(store):
    changed = configuration(store)
    changed["model"]["init_args"]["optimizer"]["lr"] = 0.002
    folder = run(configuration(store))
    first = metrics_bytes(folder)
    run(changed)
    second = metrics_bytes(folder)
    assert second != first
    for config, expected in ((configuration(store), first), (changed, second)):
        run(config)
        assert metrics_bytes(folder) == expected
    assert len(list(folder.glob("checkpoints/*/last.ckpt"))) == 2


def test_other_data_under_the_same_name_are_noticed(store):
    first = metrics_bytes(run(configuration(store)))
    write_molecules(store, count=20)
    second = metrics_bytes(run(configuration(store)))
    assert second == metrics_bytes(run(configuration(store, name="again")))
    assert second != first


def test_settings_that_change_no_number_resume(store):
    run(configuration(store))
    config = configuration(store)
    config["trainer"]["checkpoint_every"] = 5
    config["run"]["label"] = "another label"
    assert len(list(run(config).glob("checkpoints/*/last.ckpt"))) == 1


def test_a_run_out_of_time_fails_and_resumes(store):
    config = configuration(store, name="stopped", steps=100)
    config["trainer"]["checkpoint_every"] = 1000
    config["trainer"]["max_time"] = "00:00:00:01"
    with pytest.raises(UnfinishedError, match=r"stopped at step \d+ of 100; run it again to resume"):
        train_configured(complete(config, "test"))
    config["trainer"]["max_time"] = None  # part of the configuration, but not of what decides the numbers
    folder = train_configured(complete(config, "test"))
    whole = configuration(store, name="whole", steps=100)
    whole["trainer"]["checkpoint_every"] = 1000
    assert metrics_bytes(folder) == metrics_bytes(run(whole))


def test_a_run_that_is_being_trained_is_refused(store):
    path = write_run(Path(), configuration(store))
    with (
        locked(path.parent),
        pytest.raises(SystemExit, match=f"process {os.getpid()} is training this run"),
    ):
        main(["--config", str(path)])


def test_a_loss_that_is_not_finite_names_step_and_records(store):
    config = configuration(store)
    config["data"]["init_args"]["energy_std"] = NEXT_TO_NOTHING
    with pytest.raises(
        SystemExit, match=r"test/tiny seed 0: .* inf at step 0 on conformations \[.*molecules.h5"
    ):
        run(config)
    assert not list(Path("results").rglob("metrics.parquet"))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("--trainer.max_steps", "many", "trainer.max_steps must be of type integer, not 'many'."),
        (
            "--model.init_args.network.hidden_sise",
            "8",
            "hidden_sise is not a known key: did you mean hidden_size?",
        ),
        ("--model.init_args.network.hidden_size", "7", "hidden_size 7 is not a multiple of num_heads 2"),
        (
            "--model.class_path",
            "models.escaip.task.EScAIPTsk",
            "no class EScAIPTsk: did you mean EScAIPTask?",
        ),
        ("--model.class_path", "os.system", "os.system is not a class in models or twirl."),
        (
            "--callbacks",
            "[{class_path: twirl.monitor.Monitor, init_args: {chunks: 1}}]",
            "did you mean chunk?",
        ),
    ],
)
def test_what_is_wrong_with_a_configuration_is_said_in_a_sentence(store, key, value, words):
    path = write_run(Path(), configuration(store))
    with pytest.raises(SystemExit) as stopped:
        main(["--config", str(path), key, value])
    assert words in str(stopped.value)
    assert "\n" not in str(stopped.value)


def test_later_files_and_options_win_and_nobody_need_say_a_default(store):
    path = write_run(Path(), configuration(store, name="first"))
    overlay = Path("overlay.yaml")
    overlay.write_text("{run: {name: second}, trainer: {max_steps: 8}}")
    main(["--config", str(path), "--config", str(overlay), "--trainer.max_steps", "3", "--run.name=third"])
    assert json.loads(Path("results/test/third/seed0/summary.json").read_text())["steps"] == 3


def test_help_explains_every_key_of_a_configuration(store, capsys):
    main(["--config", str(write_run(Path(), configuration(store))), "--help"])
    said = capsys.readouterr().out
    for words in (
        "--trainer.max_steps (integer)\n    Number of optimiser steps.",
        "--model.init_args.network.hidden_size (integer, default 128)\n    Features H",
        "--data.init_args.train_size (integer or null, default None)\n    Conformations drawn",
    ):
        assert words in said


def test_more_training_examples_than_there_are_is_refused(store):
    config = configuration(store)
    config["data"]["init_args"]["train_size"] = 1000
    with pytest.raises(SystemExit, match="train_size 1000 is not within the 24 training examples"):
        run(config)
