"""Loading weights of the official implementations: rename by rule, then check every key and shape."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class CheckpointError(ValueError):
    """An official checkpoint does not fit the network; the message names keys and remedy."""


def official_name(key: str, rules: Sequence[tuple[str, str]]) -> str:
    """The official key of our parameter `key`: every (regular expression, replacement) applied in turn."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def load_official(
    module: nn.Module, state: Mapping[str, Tensor], rules: Sequence[tuple[str, str]], source: str
) -> None:
    """Copies the official `state` into `module`, strictly, or raises CheckpointError and changes nothing.

    source: what the state came from, for messages. A `module.` prefix, left by DDP, is removed.
    """
    state = {key.removeprefix("module."): value for key, value in state.items()}
    names = {official_name(key, rules): key for key in module.state_dict()}
    own = module.state_dict()
    problems = [f"is missing '{name}'" for name in names if name not in state]
    problems += [f"has the unexpected '{name}'" for name in state if name not in names]
    problems += [
        f"has '{name}' of shape {tuple(state[name].shape)} where {tuple(own[key].shape)} is needed"
        for name, key in names.items()
        if name in state and state[name].shape != own[key].shape
    ]
    if problems:
        shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        raise CheckpointError(
            f"{source}: the checkpoint {shown}: build the network with the checkpoint's own configuration"
        )
    module.load_state_dict({key: state[name] for name, key in names.items()})
