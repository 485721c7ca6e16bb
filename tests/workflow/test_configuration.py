"""The configuration: how it is merged, and what is said when it is wrong."""

import itertools
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import is_dataclass
from importlib import import_module

import pytest
import yaml

from analysis import catalogue
from data.settings import merge, schema
from data.validation import SettingsError
from models.escaip.settings import EScAIPTaskSettings
from models.training.configuration import as_yaml, read_file
from tests.workflow.checkout import ROOT
from workflow import plan as runs
from workflow.configuration import tiers

WRONG = {
    "tier: huge": ("'huge'", "mini, paper, smoke"),
    "mirrorr: site": ("mirrorr", "did you mean mirror?"),
    "start: hot": ("start", "warm, cold"),
    "stop_before: 0": ("stop_before", "minimum of 1"),
    "runs: {segnn: {resources: {gpus: 1}}}": ("resources.gpus", "did you mean gpu?"),
    "data: {spice: {source: invent}}": ("data.spice.source", "generate"),
    "runs: {escape: {}}": ("runs.escape", "did you mean escaip?"),
    "runs: {escaip: {escaip-defalt: {}}}": ("escaip-defalt", "did you mean escaip-default?"),
    "runs: {escaip: {base: {trainer: {max_step: 9}}}}": ("base.trainer.max_step", "did you mean max_steps?"),
    "runs: {escaip: {base: {trainer: {max_steps: 9.5}}}}": ("base.trainer.max_steps", "integer"),
    "runs: {escaip: {base: {model: {init_args: {optimizer: {lr: 1e-3}}}}}}": ("optimizer.lr", "as text"),
    "runs: {escaip: {base: {monitor: {steps: [one]}}}}": ("monitor.steps.0", "'one'"),
    "runs: 3": ("runs", "object"),
}
DECLARED_WRONG = {
    ("system: painn", "system: pain"): ("painn.yaml: system 'pain'", "did you mean painn?"),
    ("  smoke:", "  smok:"): ("painn.yaml: tiers.smok", "did you mean smoke?"),
    ("task.PaiNNTask", "tsk.PaiNNTask"): ("painn.yaml: base: model.class_path", "models.painn.tsk"),
    ("nbody-painn:", "nbody-egnn:"): ("two runs are called nbody-egnn", "of baselines and of painn"),
}


@pytest.fixture
def root(tmp_path):
    """A folder with a configuration that a test may spoil."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


def processor_time_of_children() -> float:
    """[s]; what the clock on the wall would show were the machine idle."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(("right", "wrong"), DECLARED_WRONG, ids=lambda text: text.strip())
def test_what_cannot_be_right_in_a_file_of_runs_is_said_with_its_name(root, right, wrong):
    file = root / "config/runs/painn.yaml"
    file.write_text(file.read_text().replace(right, wrong))
    with pytest.raises(SettingsError) as error:
        runs.load({"tier": "smoke"}, root)
    assert all(words in str(error.value) for words in DECLARED_WRONG[right, wrong])


def rewrite(path, change):
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


def test_layers_merge_key_by_key_and_anything_but_a_mapping_is_replaced_whole():
    below = {"a": {"x": 1, "y": [1, 2, 3]}, "b": {"z": 1}}
    above = {"a": {"y": [4]}, "b": None, "c": {"w": 2}}
    assert merge(below, above) == {"a": {"x": 1, "y": [4]}, "b": None, "c": {"w": 2}}
    assert below["a"]["y"] == [1, 2, 3]


def test_the_tier_wins_over_the_declaration_and_a_change_over_the_base():
    plan = runs.load({"tier": "mini"})
    rate = {run.name: run.settings["model"]["init_args"]["optimizer"]["lr"] for run in plan.runs}
    assert EScAIPTaskSettings().optimizer.lr == 1e-5
    assert rate["escaip-default"] == 1e-3  # the tier's base, over the default
    assert rate["escaip-lr-1e-3"] == 3e-3  # the tier's change, over the declared one of 1e-3
    sgd = next(run for run in plan.runs if run.name == "escaip-sgd")
    assert sgd.settings["model"]["init_args"]["optimizer"]["name"] == "sgd"  # the declared change


def test_the_paper_tier_runs_what_is_declared():
    default = next(run for run in runs.load({"tier": "paper"}).runs if run.name == "escaip-default")
    assert default.settings["trainer"]["max_steps"] == 445_470
    assert default.settings["monitor"] == {"steps": 20, "rotations": 10, "batches": None, "chunk": None}


def test_what_the_user_gives_wins_over_the_tier():
    plan = runs.load({"tier": "smoke", "runs": {"escaip": {"base": {"trainer": {"log_every": 77}}}}})
    assert {run.settings["trainer"]["log_every"] for run in plan.runs if run.system == "escaip"} == {77}
    assert runs.load({"tier": "smoke", "mirror": "site"}).mirror == "site"


def test_a_tier_leaves_a_run_out_with_null_and_adds_one_with_like(root):
    def change(tier):
        half = {"like": "escaip-train-500", "change": {"trainer": {"precision": "bf16-mixed"}}}
        tier["runs"] = {"escaip": {"escaip-sgd": None, "escaip-half": half}}

    rewrite(root / "config/smoke.yaml", change)
    plan = runs.load({"tier": "smoke"}, root)
    by_name = {run.name: run for run in plan.runs}
    assert "escaip-sgd" not in by_name
    assert by_name["escaip-half"].settings["trainer"]["precision"] == "bf16-mixed"
    assert by_name["escaip-half"].settings["data"]["init_args"]["batch_size"] == 1
    assert by_name["escaip-half"] not in plan.runs_for("a_fig2")


def test_every_tier_is_valid_and_every_run_has_a_folder_of_its_own():
    for tier in tiers():
        folders = [run.folder for run in runs.load({"tier": tier}).runs]
        assert len(set(folders)) == len(folders) > 0


@pytest.mark.parametrize(
    "overlay", sorted((ROOT / "config/overlays").glob("*.yaml")), ids=lambda path: path.stem
)
def test_an_overlay_that_changes_runs_has_folders_of_its_own(overlay):
    given = read_file(overlay)
    tier = given.get("tier", "subset")
    declared = {run.folder: run for run in runs.load({"tier": tier, "mirror": "site"}).runs}
    overlaid = {run.folder: run for run in runs.load({"tier": tier, **given, "mirror": "site"}).runs}
    assert overlaid.keys() - declared.keys()
    assert all(overlaid[folder] == declared[folder] for folder in overlaid.keys() & declared.keys())
    assert not given.get("variant") or not overlaid.keys() & declared.keys()
    if not given.get("variant"):
        added = [overlaid[folder] for folder in overlaid.keys() - declared.keys()]
        assert not {run.name for run in added} & catalogue.NAMED


def test_variants_of_a_tier_compose_in_any_order():
    one, two = {"variant": {"b": "second"}}, {"variant": {"a": "first"}}
    for layers in ((one, two), (two, one)):
        plan = runs.load(merge({"tier": "smoke"}, *layers))
        assert plan.tier == "smoke-a-b"
        assert {run.tier for run in plan.runs} == {"smoke-a-b"}


def test_runs_on_data_that_nobody_can_fetch_are_left_out_with_a_sentence(tmp_path, root):
    raw = root / "data/modelnet40/raw"
    raw.mkdir(parents=True)
    names = ["modelnet10_vox24_train.npz", "modelnet10_vox24_test.npz"]
    for name in names:
        shutil.copy(ROOT / f"data/modelnet40/raw/{name}.dvc", raw)
    plan = runs.load({"tier": "subset"}, root)
    assert "vn_pointnet" not in {run.system for run in plan.runs}
    assert "b_table1" not in plan.outputs
    (sentence,) = plan.left_out
    assert all(part in sentence for part in (*names, "30 runs", "b_table1", "b_table4"))
    for path in (raw / name for name in names):
        path.touch()
    whole = runs.load({"tier": "subset"}, root)
    assert whole.left_out == ()
    assert "b_table1" in whole.outputs
    for path in (raw / name for name in names):
        path.unlink()
    empty = tmp_path / "mirror"
    empty.mkdir()
    assert runs.load({"tier": "subset", "mirror": str(empty)}, root).left_out
    assert not runs.load({"tier": "subset", "mirror": "a-dvc-remote"}, root).left_out


# What the published codes train with (specs segnn.md 4 and 7, egno.md 4.2 and 4.4, relaxation.md 3.2): learning rate,
# decay, batch, epochs, training samples, seeds.
PUBLISHED_SETUPS = {
    "segnn-plain-official": (5e-4, 1e-12, 100, 1000, 3000, {42, 43, 44}),
    "segnn-es-official": (5e-4, 1e-12, 100, 1000, 3000, {42, 43, 44}),
    "segnn-plain-ace": (9e-4, 0.0, 100, 2000, 3000, {42, 43, 44}),
    "segnn-ace-official": (9e-4, 0.0, 100, 2000, 3000, {42, 43, 44}),
    "egno-nbody-plain-official": (1e-4, 1e-8, 100, 5000, 3000, {1}),
    "egno-run-plain-official": (5e-4, 1e-10, 12, 2000, 200, {1}),
    "egno-walk-plain-official": (5e-4, 1e-10, 12, 2000, 198, {1}),
    "egno-run-ace-official": (5e-4, 1e-10, 12, 3000, 200, {1, 2, 3, 4, 5}),
    "egno-walk-ace-official": (5e-4, 1e-10, 12, 3000, 198, {1, 2, 3, 4, 5}),
    "nbody-rf-official": (2e-4, 1e-12, 100, 10_000, 3000, {0, 1, 2}),
    "nbody-gnn-official": (1e-3, 1e-12, 100, 10_000, 3000, {0, 1, 2}),
    "nbody-egnn-official": (5e-4, 1e-12, 100, 10_000, 3000, {0, 1, 2}),
    "run-egnn-official": (5e-4, 1e-10, 100, 500, 200, {0, 1, 2}),
    "walk-egnn-official": (5e-4, 1e-10, 100, 500, 198, {0, 1, 2}),
}


def test_the_published_set_ups_are_those_of_the_published_codes():
    given = yaml.safe_load((ROOT / "config/overlays/published_setups.yaml").read_text())
    names = {name for runs_ in given["runs"].values() for name in runs_}
    assert names == set(PUBLISHED_SETUPS)
    found = {}
    for run in runs.load(given).runs:
        found.setdefault(run.name, []).append(run)
    for name, (lr, decay, batch, epochs, samples, seeds) in PUBLISHED_SETUPS.items():
        assert {run.seed for run in found[name]} == seeds, name
        settings = found[name][0].settings
        optimizer = settings["model"]["init_args"]["optimizer"]
        assert (optimizer["lr"], optimizer["weight_decay"]) == (lr, decay), name
        assert settings["data"]["init_args"]["batch_size"] == batch, name
        assert settings["trainer"]["max_steps"] == epochs * (samples // batch), name

    def model(name):
        return found[name][0].settings["model"]["init_args"]

    for name in ("segnn-plain-official", "segnn-es-official"):
        assert model(name)["network"]["center"] == "coordinate_mean"
    assert model("segnn-es-official")["network"]["products"] == "e3nn"  # the order that the slip depends on
    es, ace = (model(f"segnn-{name}-official")["relaxation"]["init_args"] for name in ("es", "ace"))
    assert (es["epochs"], es["reg"], es["lie_derivative"]) == (1000, 0.01, "upstream")
    assert (ace["constraint"], ace["dual_lr"]) == ("equality", 8e-4)
    for motion in ("run", "walk"):
        assert model(f"egno-{motion}-plain-official")["patience"] == 50
        ace = model(f"egno-{motion}-ace-official")["relaxation"]["init_args"]
        assert (ace["constraint"], ace["dual_lr"], ace["dual_eps"]) == ("one_sided", 2e-4, 1e-4)
        assert found[f"egno-{motion}-ace-official"][0].settings["trainer"]["gradient_clip_val"] == 1.0


def test_recm_forgets_its_first_state_and_learns_its_rule_alike_on_both_tasks_in_short_tiers():
    for tier in ("mini", "subset"):
        learnt = []
        for run in runs.load({"tier": tier}).runs:
            if run.system in ("segnn", "egno") and run.name.endswith("recm"):
                settings, steps = run.settings["model"]["init_args"], run.settings["trainer"]["max_steps"]
                optimizer = settings["optimizer"]
                assert settings["relaxation"]["init_args"]["a"] * steps == pytest.approx(100, rel=0.05)
                learnt.append(optimizer["lr"] * optimizer["recm_lr_mult"] * steps)
        # That alphas vanish on one task and stay on the other is not to come of different rates.
        assert max(learnt) < 1.5 * min(learnt)


def test_aces_multipliers_can_come_to_as_much_in_short_tiers():
    """Adam moves them by the dual rate a step. Exact on motion capture is left out; the tier's file says why."""
    published = {"segnn-ace": 8e-4 * 60_000, "ace-appr": 2e-4 * 48_000}
    for tier in ("mini", "subset"):
        for run in runs.load({"tier": tier}).runs:
            for name, total in published.items():
                if run.name.endswith(name):
                    ace, steps = (
                        run.settings["model"]["init_args"]["relaxation"],
                        run.settings["trainer"]["max_steps"],
                    )
                    assert ace["init_args"]["dual_lr"] * steps == pytest.approx(total, rel=0.02)
                    if "slack_lr" in ace["init_args"]:
                        assert ace["init_args"]["slack_lr"] * steps == pytest.approx(5e-4 * 48_000, rel=0.02)


def test_methods_on_one_backbone_share_their_training_set_up():
    for tier in ("mini", "subset", "paper"):
        found = {}
        for run in runs.load({"tier": tier}).runs:
            if run.system == "segnn" or run.name.startswith(("egno-run", "egno-walk")):
                model, data = run.settings["model"]["init_args"], dict(run.settings["data"]["init_args"])
                data.pop("rotate", None)  # part of ES
                model = {key: value for key, value in model.items() if key != "relaxation"}
                found.setdefault((run.system, data.get("motion")), []).append(
                    (model, data, run.settings["trainer"])
                )
        assert len(found) == 3
        for setups in found.values():
            assert all(setup == setups[0] for setup in setups)


def test_what_takes_least_in_all_is_trained_first_and_of_it_the_longest_run():
    plan = runs.load({"tier": "mini"})
    order = sorted(plan.runs, key=plan.priority, reverse=True)
    totals = [sum(other.cost for other in plan.runs if other.kind == run.kind) for run in order]
    assert totals == sorted(totals)
    for run, after in itertools.pairwise(order):
        assert run.cost >= after.cost or run.kind != after.kind


def test_what_a_training_asks_for_goes_by_its_system_and_size():
    paper = {run.name: run for run in runs.load({"tier": "paper"}).runs}
    assert paper["escaip-default"].resources["gpu"] == 1
    assert paper["nbody-rf"].resources["gpu"] == paper["nbody-painn"].resources["gpu"] == 0
    assert paper["segnn-plain"].resources["runtime"] < paper["proteina-60m"].resources["runtime"]
    assert paper["proteina-400m"].resources["mem_mb"] > paper["proteina-60m"].resources["mem_mb"]
    for run in paper.values():
        assert (run.settings["trainer"]["accelerator"] == "cpu") == (run.resources["gpu"] == 0)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_key_type_or_name_is_one_sentence(wrong):
    with pytest.raises(SettingsError) as raised:
        runs.load(yaml.safe_load(wrong))
    message = str(raised.value)
    assert all(part in message for part in WRONG[wrong]), message
    assert "\n" not in message
    assert message.endswith((".", "?"))


def test_a_declaration_that_forgets_a_setting_is_refused(root):
    rewrite(root / "config/runs/escaip.yaml", lambda declared: declared["base"]["trainer"].pop("max_steps"))
    with pytest.raises(SettingsError, match=r"run escaip-default: trainer: max_steps is missing\."):
        runs.load({"tier": "paper"}, root)


def test_settings_that_do_not_go_together_are_refused_before_anything_runs():
    heads = {"model": {"init_args": {"network": {"num_heads": 5}}}}
    with pytest.raises(SettingsError, match="hidden_size 32 is not a multiple of num_heads 5"):
        runs.load({"runs": {"escaip": {"base": heads}}})
    unknown = {"model": {"init_args": {"relaxation": {"init_args": {"sizes": 4}}}}}
    with pytest.raises(SettingsError, match=r"relaxation\.init_args\.sizes: .* did you mean size\?"):
        runs.load({"runs": {"vn_pointnet": {"vn-rotated-recm": {"change": unknown}}}})


def test_what_a_plan_is_checked_by_is_light():
    command = """
import sys
from pathlib import Path
from importlib import import_module
from models.training import configuration
for path in [*Path("models").glob("*/settings.py"), *Path("data").glob("*/settings.py")]:
    import_module(".".join(path.with_suffix("").parts))
assert not {"torch", "numpy", "h5py", "lightning", "pandas"} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_file_that_is_no_yaml_is_named(root):
    (root / "config/smoke.yaml").write_text("tier: [smoke")
    with pytest.raises(SettingsError, match=r"smoke\.yaml: not readable as YAML"):
        runs.load({"tier": "smoke"}, root)


def test_a_key_that_is_given_twice_is_named(root):
    path = root / "config/smoke.yaml"
    path.write_text(path.read_text() + "start: cold\n")
    with pytest.raises(SettingsError, match=r"smoke\.yaml: .*the key 'start' is given twice"):
        runs.load({"tier": "smoke"}, root)


def silent_fields(kind) -> set[str]:
    """Fields of a class of settings, and of the classes in it, that are not explained by a whole sentence."""
    silent = {f"{kind.__name__}: no docstring"} if not (kind.__doc__ or "").strip() else set()
    for name, part in schema(kind)["properties"].items():
        about = part.get("description", "")
        if not about or not about.rstrip().endswith((".", "]")) or re.search(r"(?m)^\W*\+", about):
            silent.add(f"{kind.__name__}.{name}")
    return silent


def test_every_setting_is_explained():
    modules = [*(ROOT / "models").glob("*/settings.py"), *(ROOT / "data").glob("*/settings.py")]
    modules += [ROOT / "workflow/schema.py"]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules]
    found = [kind for name in names for kind in vars(import_module(name)).values()]
    classes = {kind for kind in found if isinstance(kind, type) and is_dataclass(kind)}
    assert len(classes) > 40
    assert set().union(*map(silent_fields, classes)) == set()


def test_a_label_that_looks_like_a_number_stays_text_for_every_reader():
    assert as_yaml({"label": "3e-3", "rate": 3e-3}) == "label: '3e-3'\nrate: 0.003\n"


def test_snakemake_refuses_a_wrong_configuration_in_a_sentence_within_three_seconds(fresh):
    began = processor_time_of_children()
    result = fresh.snakemake("-n", "--config", "mirrorr=site")
    assert processor_time_of_children() - began < 3
    assert result.returncode != 0
    assert "mirrorr is not a known key: did you mean mirror?" in result.stderr
    assert "Traceback" not in result.stderr
    assert not fresh.path("results").exists()


def test_the_plan_can_be_printed_without_importing_torch(tmp_path):
    command = "import sys; from workflow.__main__ import main; main([]); assert 'torch' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    plan = runs.load({})
    assert f"tier mini: {len(plan.runs)} runs" in result.stdout
