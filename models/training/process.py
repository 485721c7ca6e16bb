"""Settings of a training process that change at most the rounding of results."""

import ctypes
import logging
import platform
import warnings

import torch

# Names and numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def tune_process() -> None:
    """Flushes denormals to zero and keeps freed memory in the process.

    Denormals slow a CPU step by up to a fifth. glibc returns large freed blocks to the system, and every step
    then pays for mapping them again: a tenth of EScAIP's step at its published size.
    """
    torch.set_flush_denormal(True)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def quiet_lightning() -> None:
    """Removes from log files Lightning's messages about devices, its tips, and warnings that do not apply here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for answered in (
        ".*isinstance.treespec, LeafSpec.. is deprecated",  # Lightning's own use of torch
        "You're resuming from a checkpoint that ended before the epoch ended",  # StepBatches goes on at its step
        "Checkpoint directory .* exists and is not empty",  # it is this run's
        "Be aware that when using `ckpt_path`",  # written with another checkpoint_every
    ):
        warnings.filterwarnings("ignore", answered)
