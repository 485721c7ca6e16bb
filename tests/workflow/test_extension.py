"""A system, a run, a setting or a figure is added in one place: tried in a copy of the repository."""

import subprocess
import sys

import pytest

from tests.workflow.checkout import Checkout

SETTINGS = '''
"""Settings of a dummy."""

from pydantic import PositiveInt

from data.settings import settings


@settings
class DummyTaskSettings:
    """Predicts nothing."""

    width: PositiveInt = 7
    """How wide the dummy is."""
'''
TASK = '''
"""A dummy."""

from models.dummy.settings import DummyTaskSettings


class DummyTask:
    """Predicts nothing."""

    def __init__(self, settings: DummyTaskSettings):
        self.settings = settings
'''
RUNS = """
system: dummy
dataset: nbody
base:
  model: {class_path: models.dummy.task.DummyTask}
  data: {class_path: models.datasets.nbody.NBodyData}
  trainer: {max_steps: 1000}
runs:
  nbody-dummy: {label: dummy, seeds: [0, 1]}
tiers:
  smoke:
    base: {trainer: {max_steps: 2}}
    nbody-dummy: {seeds: [0]}
"""
ROW = """
OUTPUTS = (
    *OUTPUTS,
    Output("x99", FIGURE, None, "", "What dummies show", ("nbody-dummy",), required=("nbody-dummy",)),
)
_BY_NAME = {output.name: output for output in OUTPUTS}
"""


@pytest.fixture
def extended(fresh: Checkout) -> Checkout:
    """The copy with a system in a folder and a run file of its own, and a figure with its row of the catalogue."""
    fresh.path("models/dummy").mkdir()
    for name, text in {"__init__.py": '"""A dummy."""\n', "settings.py": SETTINGS, "task.py": TASK}.items():
        fresh.path("models/dummy", name).write_text(text)
    fresh.path("config/runs/dummy.yaml").write_text(RUNS)
    with fresh.path("analysis/catalogue.py").open("a") as catalogue:
        catalogue.write(ROW)
    fresh.path("analysis/figures/x99.py").write_text('"""What dummies show."""\n')
    return fresh


def python(checkout: Checkout, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=checkout.folder, capture_output=True, text=True, check=False)


def test_a_new_system_is_planned_with_its_run_in_every_figure_of_its_data_set(extended):
    said = python(extended, "-m", "workflow", "config/smoke.yaml")
    assert said.returncode == 0, said.stderr
    line = next(line for line in said.stdout.splitlines() if "nbody-dummy" in line)
    assert "2 steps of 100" in line
    assert {"b_table2", "x3", "x99"} <= set(line.split())


def test_a_new_figure_is_planned_with_what_it_needs_and_no_more(extended):
    said = extended.run("smoke", "-n", "figures/smoke/x99.pdf")
    assert "Rendering x99" in said
    assert said.count("Training ") == 1
    assert "Training nbody-dummy, seed 0" in said


def test_a_new_setting_is_validated_by_its_field(extended):
    file = extended.path("config/runs/dummy.yaml")
    for wrong, words in {
        "{widht: 3}": ("init_args.widht is not a known key", "did you mean width?"),
        "{width: 0}": ("init_args.width",),
    }.items():
        file.write_text(RUNS.replace("DummyTask}", f"DummyTask, init_args: {wrong}}}"))
        said = python(extended, "-m", "workflow", "config/smoke.yaml")
        assert said.returncode != 0
        assert all(word in said.stderr for word in words), said.stderr
        assert len(said.stderr.strip().splitlines()) == 1


def test_a_new_setting_is_documented_by_its_sentence(extended):
    code = (
        "import yaml; from models.training.explain import explanation; "
        "print(explanation(yaml.safe_load(open('config/runs/dummy.yaml'))['base']))"
    )
    said = python(extended, "-c", code)
    assert said.returncode == 0, said.stderr
    assert "--model.init_args.width (integer, default 7)\n    How wide the dummy is." in said.stdout


def test_a_new_system_does_not_train_others_again(finished):
    finished.path("models/dummy").mkdir()
    for name, text in {"__init__.py": '"""A dummy."""\n', "settings.py": SETTINGS, "task.py": TASK}.items():
        finished.path("models/dummy", name).write_text(text)
    finished.path("config/runs/dummy.yaml").write_text(RUNS)
    said = finished.run("smoke", "-n")
    assert said.count("Training ") == 1
    assert "Preparing" not in said
