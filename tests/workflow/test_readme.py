"""The README does not promise what is not there: its links, its commands, its examples."""

import ast
import re
import shlex
import subprocess
import sys

import pytest

from tests.workflow.checkout import ROOT
from workflow import plan as runs

TEXT = (ROOT / "README.md").read_text()
LINKS = sorted({link for link in re.findall(r"\]\(([^)#\s]+)\)", TEXT) if "://" not in link})
SNAKEMAKE = sorted({m.strip() for m in re.findall(r"^ {4}(snakemake [^#\n]*)", TEXT, re.MULTILINE)})
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("link", LINKS)
def test_every_relative_link_leads_somewhere(link):
    assert (ROOT / link).exists()


@pytest.mark.parametrize("command", [c for c in SNAKEMAKE if "--report" not in c and "slurm" not in c])
def test_every_snakemake_command_builds_its_workflow(command):
    arguments = shlex.split(command)[1:]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, "--dry-run", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_first_example_measures_a_model_in_twelve_lines():
    code = EXAMPLES[0]
    assert len([line for line in code.splitlines() if line]) <= 12
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert re.fullmatch(r"\d+\.\d% of the loss, \+- \d+\.\d\n", done.stdout), done.stderr


def test_the_relaxed_example_takes_fifteen_lines_and_finds_gravity():
    code = next(example for example in EXAMPLES if "RECM(" in example)
    _, added = code.split("\nplaces = ")
    assert len([line for line in added.splitlines() if line]) <= 15
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    alphas = ast.literal_eval(done.stdout)
    assert set(alphas) == {"0", "1"}
    assert max(abs(terms["b"]) for terms in alphas.values()) > 0.1


def test_no_placeholder_is_left():
    assert not re.search(r"\b[A-Z]+_[A-Z_]+\b", re.sub(r"(PARITY|REFERENCE)_DIR", "", TEXT))


def test_runs_of_the_paper_stop_before_the_time_limit_of_their_job():
    plan = runs.load({"tier": "paper"})
    for run in plan.runs:
        limit = 60 * plan.training(run)["runtime"]
        days, hours, minutes, seconds = map(int, run.settings["trainer"]["max_time"].split(":"))
        assert 0 < limit - (((days * 24 + hours) * 60 + minutes) * 60 + seconds) <= 3600
