"""The DAG: what is run, what is not run again, and what a person is told."""

import hashlib
import os

import pytest
import yaml

from workflow import plan as runs
from workflow.configuration import tiers

NOTHING = "Nothing to be done"


@pytest.mark.parametrize("tier", tiers())
def test_every_tier_has_a_plan_of_work(fresh, tier):
    said = fresh.run(tier, "-n")
    assert "gallery" in said
    assert ("Fetching the entries of data/pdb" in said) == (tier == "paper")
    assert ("fetch" in said) == (tier not in ("mini", "smoke", "subset_nbody"))


def test_lint_is_clean(fresh):
    result = fresh.snakemake("--lint")
    assert result.returncode == 0, result.stdout + result.stderr


def test_everything_is_made_once(finished):
    folders = [finished.path(run.folder) for run in runs.load({"tier": "smoke"}).runs]
    assert all((folder / "trained").read_text() == "once " for folder in folders)
    assert finished.path("figures/smoke/a_fig2.pdf").exists()
    assert finished.path("figures/smoke/a_landmarks.md").exists()
    assert finished.path("figures/smoke/index.html").exists()
    assert (
        finished.path("logs/smoke/train/escaip_spice_0.log").read_text().startswith("training results/smoke/")
    )
    assert NOTHING in finished.run()


def test_a_figure_can_be_asked_for_by_its_file(fresh):
    said = fresh.run("smoke", "-n", "figures/smoke/a_fig1e.pdf")
    assert "a_fig1e" in said
    assert "gallery" not in said


def test_only_what_depends_on_a_changed_run_is_made_again(finished):
    tier = finished.path("config/smoke.yaml")
    tier.write_text(tier.read_text().replace('{label: "3e-4", change', '{label: "other", change'))
    said = finished.run("smoke", "-n")
    changed = next(group.name for group in runs.load({"tier": "smoke"}).groups if "lr-1e-4" in str(group))
    assert f"train_{changed}" in said
    assert said.count("Training ") == 1
    assert "Preparing" not in said


def test_changed_training_code_trains_again_and_changed_analysis_only_draws_again(finished):
    finished.path("analysis/render.py").open("a").write("# changed\n")
    said = finished.run("smoke", "-n")
    assert "Rendering a_fig2" in said
    assert "Training" not in said
    finished.path("models/escaip/__init__.py").open("a").write("# changed\n")
    assert "Training" in finished.run("smoke", "-n")


def test_another_mirror_or_another_tier_is_no_reason_to_do_anything_again(finished):
    assert NOTHING in finished.run("smoke", "--config", "mirror=elsewhere")
    finished.run("mini", "-n")
    assert NOTHING in finished.run("smoke")


def test_a_raw_file_brought_by_hand_is_checked_and_kept(fresh):
    raw = fresh.path("data/spice/raw/water.hdf5")
    raw.write_bytes(b"water")
    os.utime(raw, (0, 0))
    pointer = {"outs": [{"md5": hashlib.md5(b"water").hexdigest(), "size": 5, "path": "water.hdf5"}]}
    raw.with_name("water.hdf5.dvc").write_text(yaml.safe_dump(pointer))
    fresh.snakemake("data/spice/raw/water.hdf5.checked", "--config", "tier=subset")
    assert raw.read_bytes() == b"water"
    assert "already present" in fresh.path("logs/fetch/spice/water.hdf5.log").read_text()


def test_a_failed_job_names_its_log_and_leaves_checkpoints_alone(fresh):
    fresh.run("smoke", "-n")
    folder = fresh.path("results/smoke/escaip-sgd/seed0")
    (folder / "fail").touch()
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/last.ckpt").write_text("weights")
    result = fresh.snakemake("--configfile", "config/smoke.yaml")
    assert result.returncode != 0
    assert "logs/smoke/train/escaip_spice_0.log" in result.stderr
    assert "was told to fail" in result.stdout + result.stderr
    assert "MissingOutputException" not in result.stderr  # its exit status is seen behind the log's pipe
    (folder / "fail").unlink()
    assert "Gallery: figures/smoke/index.html" in fresh.run()
    assert (folder / "checkpoints/last.ckpt").read_text() == "weights"


def test_the_report_is_made_of_the_figures(finished):
    result = finished.snakemake("--configfile", "config/smoke.yaml", "--report", "report.html")
    assert result.returncode == 0, result.stderr
    assert "a_fig2" in finished.path("report.html").read_text()
