"""Loading weights of the official implementations: rename keys by rules, then check every key and shape."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class CheckpointError(ValueError):
    """An official checkpoint does not fit the network; the message names keys and remedy."""


def read_tensors(path: str | Path, remedy: str) -> Any:
    """The content of a checkpoint file of tensors and plain containers, on the CPU.

    Raises CheckpointError for anything else, which ends with `remedy`.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many unrelated exception types for unsafe and damaged files
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: not a checkpoint of plain tensors ({reason}); {remedy}") from error


def official_name(key: str, rules: Sequence[tuple[str, str]]) -> str:
    """The official key of our parameter `key`: every (regular expression, replacement) applied in turn."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def load_official(
    module: nn.Module, state: Mapping[str, Tensor], rules: Sequence[tuple[str, str]], source: str
) -> None:
    """Copies the official `state` into `module`; raises CheckpointError, and copies nothing, if a key or shape differs.

    source: where the state came from, for messages. A `module.` prefix, left by DDP, is removed.
    """
    names = {official_name(key, rules): key for key in module.state_dict()}
    own = module.state_dict()
    state = checked({name: own[key] for name, key in names.items()}, state, source)
    module.load_state_dict({key: state[name] for name, key in names.items()})


def checked(expected: Mapping[str, Any], state: Mapping[str, Any], source: str) -> dict[str, Any]:
    """`state` without DDP's `module.`; CheckpointError unless it has the names and shapes of `expected`.

    What is no tensor, such as the state of a method that relaxes, has a name alone.
    """
    state = {key.removeprefix("module."): value for key, value in state.items()}
    problems = [f"is missing '{name}'" for name in expected if name not in state]
    problems += [f"has the unexpected '{name}'" for name in state if name not in expected]
    problems += [
        f"has '{name}' of shape {tuple(state[name].shape)} where {tuple(own.shape)} is needed"
        for name, own in expected.items()
        if name in state and isinstance(own, Tensor) and state[name].shape != own.shape
    ]
    if problems:
        shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        raise CheckpointError(
            f"{source}: the checkpoint {shown}: build the network with the checkpoint's own configuration"
        )
    return state
