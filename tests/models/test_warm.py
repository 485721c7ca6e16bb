"""A run forked from a process that has imported everything is the run that starts by itself."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models import warm
from models.sources import ROOT
from models.train import main as train
from tests.models.escaip.molecules import write_molecules
from tests.models.escaip.runs import configuration
from tests.models.training.run_files import write_run


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Starts `python -m models.warm` for a run's settings, all as of one call."""
    owner = subprocess.Popen(["sleep", "600"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(warm.CALL, str(owner.pid))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_molecules(Path("molecules.h5"))

    def start(**settings) -> tuple[subprocess.Popen, Path]:
        path = write_run(Path(), configuration(Path("molecules.h5"), **settings))
        command = [sys.executable, "-m", "models.warm", "--config", str(path)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ), path.parent

    yield start
    folder = warm.own_folder()
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 30
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not folder.exists()  # the server has ended with its call


def test_runs_side_by_side_equal_those_that_start_by_themselves(started):
    jobs = [started(name="one"), started(name="two"), started(name="one", seed=1)]
    for job, folder in jobs:
        said, _ = job.communicate(timeout=300)
        assert job.returncode == 0, said
        assert f"finished: {folder}" in said
    tables = [(folder / "metrics.parquet").read_bytes() for _, folder in jobs]
    assert tables[0] == tables[1] != tables[2]
    alone = write_run(Path(), configuration(Path("molecules.h5"), name="alone"))
    train(["--config", str(alone)])
    assert (alone.parent / "metrics.parquet").read_bytes() == tables[0]


def test_a_refusal_and_a_kill_are_the_calls_own(started):
    job, folder = started(name="broken", steps=-1)
    said, _ = job.communicate(timeout=300)
    assert job.returncode != 0
    assert said.strip()
    job, folder = started(name="long", steps=100_000)
    while not list(folder.glob("checkpoints/*/last.ckpt")):
        assert job.poll() is None, job.stdout.read()
        time.sleep(0.1)
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=60)
    training = int((folder / ".lock").read_text())
    deadline = time.monotonic() + 60
    while Path(f"/proc/{training}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(training, 0)
    assert list(folder.glob("checkpoints/*/last.ckpt"))
