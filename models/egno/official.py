"""Loading official EGNO weights (spec egno.md section 6)."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.egno.network import EGNO
from models.official import CheckpointError, checked, official_name, read_tensors

# Applied in this order to our names; the result is the official name.
RULES = (
    (r"^time_convs_x\.(\d+)\.weights$", r"time_conv_x_modules.\1.t_conv.weights1"),
    (r"^time_convs\.(\d+)\.weights$", r"time_conv_modules.\1.t_conv.weights1"),
    (r"\.message_out\.", ".edge_message_net.scalar_net.mlp.2."),
    (r"\.pull\.", ".coord_net.mlp.0."),
    (r"\.pull_out\.", ".coord_net.mlp.2."),
    (r"\.drift\.", ".node_v_net.mlp.0."),
    (r"\.drift_out\.", ".node_v_net.mlp.2."),
    (r"\.update\.", ".node_net.mlp.0."),
    (r"\.readout\.", ".node_net.mlp.2."),
)
_MESSAGE = "edge_message_net.scalar_net.mlp.0"


def official_state(network: EGNO, state: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The network's weights, or other tensors of the same names such as gradients, under the official names.

    The first map of the messages is one matrix there: columns |r|^2, h_i, h_j, edge_attr.
    """
    own = dict(network.state_dict() if state is None else state)
    result = {}
    for k in range(network.config.layers):
        prefix = f"layers.{k}."
        of_nodes = own.pop(f"{prefix}message.weight").chunk(2)
        edge = own.pop(f"{prefix}edge.weight")
        result[f"{prefix}{_MESSAGE}.weight"] = torch.cat([edge[:, :1], *of_nodes, edge[:, 1:]], dim=1)
        result[f"{prefix}{_MESSAGE}.bias"] = own.pop(f"{prefix}edge.bias")
    return result | {official_name(key, RULES): value for key, value in own.items()}


def load_state(network: EGNO, state: Mapping[str, Tensor], source: str = "official EGNO state dict") -> None:
    """Copies an official state dict into a network; missing, extra or misshapen keys raise CheckpointError."""
    state = checked(official_state(network), state, source)
    own = {}
    for key in network.state_dict():
        layer, _, name = key.partition(".message.")
        if name:
            H = network.config.hidden
            W = state[f"{layer}.{_MESSAGE}.weight"]
            own[key] = torch.cat([W[:, 1 : 1 + H], W[:, 1 + H : 1 + 2 * H]])
            own[f"{layer}.edge.weight"] = torch.cat([W[:, :1], W[:, 1 + 2 * H :]], dim=1)
            own[f"{layer}.edge.bias"] = state[f"{layer}.{_MESSAGE}.bias"]
        elif ".edge." not in key:
            own[key] = state[official_name(key, RULES)]
    network.load_state_dict(own)


def load_checkpoint(network: EGNO, path: str | Path) -> None:
    """Loads a file of the official training script, a plain state dict; CheckpointError for anything else."""
    state = read_tensors(path, "save the state dict alone")
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: not a state dict; give what the official training script saves")
    load_state(network, state, str(path))
