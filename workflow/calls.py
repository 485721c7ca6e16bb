"""A call of Snakemake and its jobs: all read the plan that the call began with, whatever happens to config/ since.

Parsing writes nothing. When work begins, `keep` writes the plan and what single jobs read of it, under names that are
digests of the content, so that no other call changes them. $TWIRL_PLAN tells processes that Snakemake starts for its
jobs, on other machines too, where the plan is.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from data.files import write_text
from models.training.configuration import as_yaml
from models.warm import CALL
from workflow.plan import Plan, Run, load

PLAN = "TWIRL_PLAN"
KEPT = Path(".snakemake", "twirl")


def plan_of_call(config: Mapping) -> Plan:
    """The plan of a call's configuration; within one of its jobs, the plan that the call was made with."""
    kept = os.environ.get(PLAN)
    if kept and Path(kept).is_file():
        return _read(Path(kept))
    plan = load(config)
    os.environ[PLAN] = str(_named(_state(plan), ".json"))
    os.environ.setdefault(CALL, str(os.getpid()))
    return plan


def settings_of_run(run: Run) -> str:
    """The file that training a run reads, once `keep` has written it."""
    return str(_named(as_yaml(run.resolved()), ".yaml"))


def settings_of_data(plan: Plan, dataset: str) -> str:
    """The file that preparing a data set reads, once `keep` has written it."""
    return str(_named(as_yaml(plan.data[dataset]), ".yaml"))


def keep(plan: Plan) -> None:
    """Writes the plan and what its jobs read."""
    contents = [as_yaml(run.resolved()) for run in plan.runs] + [
        as_yaml(plan.data[name]) for name in plan.datasets
    ]
    for content, suffix in [(_state(plan), ".json"), *((content, ".yaml") for content in contents)]:
        path = _named(content, suffix)
        if not path.exists():
            write_text(path, content)


def _named(content: str, suffix: str) -> Path:
    return KEPT / f"{hashlib.sha256(content.encode()).hexdigest()[:16]}{suffix}"


def _state(plan: Plan) -> str:
    runs = [{field: getattr(run, field) for field in Run.__dataclass_fields__} for run in plan.runs]
    return json.dumps({"config": plan.config, "runs": runs, "left_out": plan.left_out})


def _read(path: Path) -> Plan:
    state = json.loads(path.read_text())
    return Plan(state["config"], tuple(Run(**run) for run in state["runs"]), tuple(state["left_out"]))
