"""Digests of source files, by which a change of code is noticed. Training imports this: standard library only."""

import hashlib
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
        "models/train*.py",
        "twirl/**/*.py",
        f"data/{dataset}/store.py",
        "data/errors.py",
        without=("bench.py", "official.py"),
        root=root,
    )
