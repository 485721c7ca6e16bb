"""Benchmarks: every command that the documentation gives, at one step of the smallest case."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from models.bench import cases_of, run_case

ROOT = Path(__file__).parents[2]
SYSTEMS = sorted(path.parent.name for path in (ROOT / "models").glob("*/bench.py"))


def bench(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "models.bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_smallest_case_of_every_system_is_timed(system):
    smallest = next(iter(cases_of(system)))
    assert "mini" in smallest
    found = run_case(system, smallest, threads=1, steps=1)
    assert found["step_s"] > 0
    assert found["peak_MiB"] > 0


def test_a_system_and_a_case_are_chosen_by_name():
    done = bench("escaip", "--case", "mini", "--threads", "1", "--steps", "1")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("escaip mini")
    assert "samples/s" in line


def test_what_is_unknown_is_named_beside_what_there_is():
    for arguments, said in ((["escape"], "'escaip'"), (["escaip", "--case", "huge"], "published")):
        done = bench(*arguments)
        assert done.returncode != 0
        assert said in done.stderr


def test_every_documented_command_names_a_system_that_has_cases():
    guides = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "models").rglob("*.md")]
    texts = [path.read_text() for path in guides]
    named = {system for text in texts for system in re.findall(r"python -m models\.bench (\w+)", text)}
    assert named
    assert named <= set(SYSTEMS)
