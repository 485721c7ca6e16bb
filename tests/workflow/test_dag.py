"""The DAG: what is run, what is not run again, and what a person is told."""

import hashlib
import os
import subprocess
import sys

import pytest
import yaml

from workflow import calls
from workflow import plan as runs
from workflow.configuration import tiers

NOTHING = "Nothing to be done"


@pytest.mark.parametrize("tier", tiers())
def test_every_tier_has_a_plan_of_work(fresh, tier):
    said = fresh.run(tier, "-n")
    assert "gallery" in said
    assert ("Fetching the entries of data/pdb" in said) == (tier == "paper")
    assert ("fetch" in said) == (tier not in ("mini", "smoke"))


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
        finished.path("logs/smoke/train/escaip-sgd-seed0.log")
        .read_text()
        .startswith("training results/smoke/")
    )
    assert finished.path("results/smoke/proteina-60m/seed0/measured/rotations.parquet").exists()
    assert NOTHING in finished.run()


def test_a_figure_can_be_asked_for_by_its_file(fresh):
    said = fresh.run("smoke", "-n", "figures/smoke/a_fig1e.pdf")
    assert "a_fig1e" in said
    assert "gallery" not in said


def test_only_a_changed_run_and_what_depends_on_it_are_made_again(finished):
    tier = finished.path("config/runs/escaip.yaml")
    tier.write_text(tier.read_text().replace('{label: "3e-4", change', '{label: "other", change'))
    said = finished.run("smoke", "-n")
    assert "Training escaip-lr-1e-4, seed 0" in said
    assert said.count("Training ") == 1
    assert "Preparing" not in said
    assert "Rendering a_fig2" in said
    assert "Rendering x3" not in said


def test_one_file_of_a_run_trains_that_run_alone(fresh):
    said = fresh.run("smoke", "-n", "results/smoke/nbody-rf/seed0/summary.json")
    assert said.count("Training ") == 1
    assert "Training nbody-rf, seed 0" in said


@pytest.mark.parametrize(
    ("changed", "trained", "drawn"),
    [
        ("analysis/render.py", False, "all"),
        ("analysis/figures/a_fig2.py", False, "a_fig2"),
        ("models/escaip/network.py", "escaip", "of what is trained"),
        ("models/segnn/task.py", "segnn", "of what is trained"),
        ("analysis/measure/rotations.py", False, "a_fig5"),
        ("models/train.py", "all", "all"),
    ],
)
def test_what_depends_on_a_changed_file_is_made_again_and_nothing_else(finished, changed, trained, drawn):
    finished.path(changed).open("a").write("# changed\n")
    said = finished.run("smoke", "-n")
    plan = runs.load({"tier": "smoke"})
    expected = {run.name for run in plan.runs if trained in (run.system, "all")}
    assert {run.name for run in plan.runs if f"Training {run.name}, " in said} == expected
    found = {output for output in plan.outputs if f"Rendering {output} " in said}
    if drawn == "of what is trained":
        assert found == {o for o in plan.outputs if expected & {run.name for run in plan.runs_for(o)}}
    else:
        assert found == set(plan.outputs if drawn == "all" else [drawn])
    assert "Preparing" not in said


def test_samples_can_be_asked_for_where_a_system_generates(fresh):
    report = "results/smoke/{}/seed0/samples/report.json"
    said = fresh.run("smoke", "-n", report.format("proteina-60m"))
    assert "Training proteina-60m, seed 0" in said
    assert "Generating from proteina-60m, seed 0" in said
    refused = fresh.snakemake("-n", report.format("segnn-plain"), "--configfile", "config/smoke.yaml")
    assert "MissingRuleException" in refused.stdout + refused.stderr


def test_a_dry_run_writes_nothing(fresh):
    def state():
        files = [
            path for path in fresh.folder.rglob("*") if path.is_file() and ".snakemake" not in path.parts
        ]
        return {path: path.stat().st_mtime_ns for path in files}

    before = state()
    fresh.run("smoke", "-n")
    assert state() == before
    assert not fresh.path(".snakemake/twirl").exists()


@pytest.mark.parametrize("options", [("-n",), ()], ids=["looked at", "refused"])
def test_a_second_call_does_not_change_what_the_first_has_begun(fresh, options):
    stores = [f"data/{dataset}/prepared/smoke.h5" for dataset in ("nbody", "mocap", "pdb")]
    run = "results/smoke/nbody-rf/seed0/run.yaml"
    fresh.path("wait").touch()
    arguments = ["--cores", "1", *stores, run, "--configfile", "config/smoke.yaml"]
    command = [sys.executable, "-m", "snakemake", *arguments]
    first = subprocess.Popen(
        command, cwd=fresh.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while "Preparing" not in (line := first.stdout.readline()):
        assert line, "the first call has ended"
    tier, declared = fresh.path("config/smoke.yaml"), fresh.path("config/runs/baselines_nbody.yaml")
    changed = tier.read_text().replace("train: 8,", "train: 9,").replace("chains: 14", "chains: 15")
    tier.write_text(changed.replace("train_trials: 2", "train_trials: 3"))
    declared.write_text(declared.read_text().replace("hidden: 4", "hidden: 5"))
    second = fresh.snakemake(*arguments, *options)
    assert ("LockException" in second.stderr) == (not options), second.stderr
    fresh.path("wait").unlink()
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 0, said
    asked = [yaml.safe_load(fresh.path(store).read_text()) for store in stores]
    assert [asked[0]["train"], asked[1]["train_trials"], asked[2]["chains"]] == [8, 2, 14]
    trained = yaml.safe_load(fresh.path(run).read_text())
    assert trained["model"]["init_args"]["network"]["hidden"] == 4


def test_jobs_in_processes_of_their_own_have_the_plan_of_their_call(fresh, monkeypatch):
    monkeypatch.chdir(fresh.folder)
    for name in (calls.PLAN, calls.CALL):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")
    plan = calls.plan_of_call({"tier": "smoke"})
    calls.keep(plan)
    assert calls.plan_of_call({"tier": "mini"}) == plan


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
    folder = fresh.path("results/smoke/escaip-sgd/seed0")
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "fail").touch()
    (folder / "checkpoints/last.ckpt").write_text("weights")
    result = fresh.snakemake("--configfile", "config/smoke.yaml")
    assert result.returncode != 0
    assert "logs/smoke/train/escaip-sgd-seed0.log" in result.stderr
    assert "was told to fail" in result.stdout + result.stderr
    assert "MissingOutputException" not in result.stderr  # its exit status is seen behind the log's pipe
    (folder / "fail").unlink()
    assert "Gallery: figures/smoke/index.html" in fresh.run()
    assert (folder / "checkpoints/last.ckpt").read_text() == "weights"


def test_the_report_is_made_of_the_figures(finished):
    result = finished.snakemake("--configfile", "config/smoke.yaml", "--report", "report.html")
    assert result.returncode == 0, result.stderr
    assert "a_fig2" in finished.path("report.html").read_text()
