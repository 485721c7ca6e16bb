"""The floors of the house: who may import whom. The contracts are in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

from tests.workflow.checkout import ROOT


def test_nothing_imports_what_is_above_it():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
