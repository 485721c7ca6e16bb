"""Trains several runs one after the other in one process: `python -m models.train_group FOLDER [FOLDER ...]`.

Importing torch and Lightning takes as long as a small run. Each folder holds a run.yaml; each run keeps its
own seed, lock, checkpoint and outputs, and does not notice the others.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from models.train import REFUSALS, train_configured
from models.training.configuration import complete, read_file


def main(folders: Sequence[str]) -> int:
    """Trains every run; one that fails does not stop the others. Returns how many failed."""
    failures = []
    for number, folder in enumerate(folders, 1):
        print(f"[{number}/{len(folders)}] {folder}", file=sys.stderr, flush=True)
        path = Path(folder, "run.yaml")
        try:
            config = complete(read_file(path), str(path))
            if len(folders) > 1 and config["trainer"]["devices"] != 1:
                raise ValueError(
                    f"{folder}: a run on several devices needs a process of its own: set processes: null"
                )
            train_configured(config)
        except REFUSALS as error:
            failures.append(str(error))
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return len(failures)


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
