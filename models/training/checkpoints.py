"""Where a run resumes from: one folder per configuration, and checkpoints that are whole or absent."""

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from data.files import replacing

# Settings that cannot change a run's numbers beyond rounding: changing them does not start it anew.
INDIFFERENT = (
    ("run", "label"),
    ("trainer", "max_time"),
    ("trainer", "checkpoint_every"),
    ("trainer", "accelerator"),
    ("data", "init_args", "workers"),
    ("monitor", "chunk"),
)


def fingerprint(config: Mapping[str, Any], sources: str, data: Mapping[str, Any]) -> str:
    """Digest of everything that decides a run's numbers.

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
    """checkpoints/<mark>: what a run with this fingerprint resumes from. Those of other fingerprints stay."""
    folder = run_folder / "checkpoints" / mark
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames; Lightning's own moves from /tmp, which may be another disk."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        with replacing(Path(path)) as temporary:
            torch.save(checkpoint, temporary)
