"""The state that a run resumes from: one folder per configuration, with checkpoints written atomically."""

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from data.files import replacing

# Settings that change at most the rounding of a run's numbers: a run resumes although they changed.
INDIFFERENT = (
    ("run", "label"),
    ("trainer", "max_time"),
    ("trainer", "checkpoint_every"),
    ("trainer", "accelerator"),
    ("data", "init_args", "workers"),
    ("monitor", "chunk"),
)


def fingerprint(config: Mapping[str, Any], sources: str, data: Mapping[str, Any]) -> str:
    """Digest of everything that determines a run's numbers.

    config: its complete configuration. sources: digest of the code it imports. data: the provenance of its
    data, with a digest of their content.
    """
    settings = copy.deepcopy(dict(config))
    for *path, key in INDIFFERENT:
        block = settings
        for name in path:
            block = block[name]
        block.pop(key, None)
    text = json.dumps([settings, sources, data], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def state_folder(run_folder: Path, mark: str) -> Path:
    """The folder checkpoints/<mark> of a run with this fingerprint. Folders of other fingerprints are not deleted."""
    folder = run_folder / "checkpoints" / mark
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes next to the target, then renames; Lightning's own writer moves from /tmp, which may be another disk."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        with replacing(Path(path)) as temporary:
            torch.save(checkpoint, temporary)
