"""The file of settings that a run starts from."""

from pathlib import Path

import yaml


def write_run(folder: Path, config: dict) -> Path:
    """Writes run.yaml where the run's outputs go, below `folder`."""
    run = config["run"]
    path = folder / "results" / run["tier"] / run["name"] / f"seed{run['seed']}" / "run.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return path
