"""What jobs read: run.yaml of every run, and the settings of every data set beside its store."""

from collections.abc import Mapping
from pathlib import Path

from data.files import write_text
from workflow.configuration import text
from workflow.plan import Plan


def write_if_changed(path: Path, content: Mapping) -> None:
    """Writes YAML, unless the file already says the same: its date is what a rerun is decided by."""
    said = text(content)
    if path.exists() and path.read_text() == said:
        return
    write_text(path, said)


def write_inputs(plan: Plan) -> None:
    """Writes what jobs of a plan read."""
    for run in plan.runs:
        write_if_changed(Path(run.folder, "run.yaml"), run.resolved())
    for dataset in plan.datasets:
        write_if_changed(Path(plan.store(dataset)).with_suffix(".yaml"), plan.data[dataset])
