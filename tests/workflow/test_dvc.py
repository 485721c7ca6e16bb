"""DVC sees the same work as Snakemake, in stages."""

import subprocess
import sys

import yaml

from tests.workflow.checkout import ROOT
from workflow import plan as runs
from workflow.configuration import tiers


def dvc(*arguments: str, cwd) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_stages_are_declared_and_their_numbers_shown(fresh):
    fresh.path(".dvc").mkdir()
    fresh.path(".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    stages = dvc("stage", "list", cwd=fresh.folder)
    assert [line.split()[0] for line in stages.splitlines()] == ["prepare", "train", "render"]
    fresh.path("figures/mini").mkdir(parents=True)
    fresh.path("figures/mini/metrics.json").write_text('{"escaip-default": {"dip": 0.25}}')
    assert "0.25" in dvc("metrics", "show", cwd=fresh.folder)


def test_every_raw_file_of_a_tier_has_a_pointer():
    for tier in tiers():
        plan = runs.load({"tier": tier})
        for dataset in plan.datasets:
            assert all((ROOT / f"{file}.dvc").is_file() for file in plan.raw_files(dataset))


def test_stages_depend_on_folders_of_code():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    folders = {path for stage in stages.values() for path in stage.get("deps", []) if "${" not in path}
    assert folders
    assert all((ROOT / path).is_dir() for path in folders)
