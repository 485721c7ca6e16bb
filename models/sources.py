"""Which code made a result: digests of source files, and the commit. Training imports this: standard library only."""

import hashlib
import subprocess
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def digest(*patterns: str, without: Collection[str] = (), root: Path = ROOT) -> str:
    """Of the contents and names of all files that match, but for those named in `without`."""
    found = {path for pattern in patterns for path in root.glob(pattern) if path.name not in without}
    state = hashlib.sha256()
    for path in sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts):
        state.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return state.hexdigest()[:16]


def source_digest(system: str, dataset: str = "*", root: Path = ROOT) -> str:
    """Of what training a system on a data set imports."""
    return digest(
        f"models/{system}/**/*.py",
        "models/training/**/*.py",
        f"models/datasets/{dataset}.py",
        "models/datasets/points.py",
        "models/train*.py",
        "twirl/**/*.py",
        f"data/{dataset}/store.py",
        f"data/{dataset}/baselines.py",
        f"data/{dataset}/chains.py",
        f"data/{dataset}/channels.py",
        f"data/{dataset}/clouds.py",
        f"data/{dataset}/augment.py",
        f"data/{dataset}/skeleton.py",
        f"data/{dataset}/trials.py",
        "data/digest.py",
        "data/errors.py",
        "data/files.py",
        "data/mapped.py",
        without=("bench.py", "generate.py", "molecules.py", "official.py", "textbook.py"),
        root=root,
    )


def commit() -> str | None:
    """The commit of the working tree, marked `+changes` if tracked files differ; None without git or outside it."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*"]
    try:
        done = subprocess.run(git, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
