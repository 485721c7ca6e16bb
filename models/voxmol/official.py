"""Loading official VoxMol weights: the key names of spec voxmol.md section 8."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.official import CheckpointError, checked, official_name, read_tensors
from models.voxmol.network import Attention, VoxMol

# Applied in this order to our names; the result is the official name.
RULES = (
    (r"^first\.", "grid_projection."),
    (r"^last\.", "final."),
    (r"^encoder\.", "down."),
    (r"^decoder\.", "up."),
    (r"^middle\.(first|second)\.", r"middle.\1_residual."),
    (r"first_residual\.", "res1."),
    (r"second_residual\.", "res2."),
    (r"\.residual\.", ".res."),
    (r"\.attention\.", ".attn."),
    (r"\.qkv\.", ".projection."),
    (r"\.out\.", ".output."),
    (r"^((?:down|up)\.\d+)\.(weight|bias)$", r"\1.conv.\2"),
)


def load_state(
    network: VoxMol, state: Mapping[str, Tensor], source: str = "official VoxMol state dict"
) -> None:
    """Copies an official state dict into `network`; missing, extra or misshapen keys raise CheckpointError.

    The state must contain the norms before attention, which the official code never calls; they are not copied.
    """
    own = network.state_dict()
    names = {official_name(key, RULES): key for key in own}
    expected = {name: own[key] for name, key in names.items()} | _dead(network)
    state = checked(expected, state, source)
    network.load_state_dict({key: state[name] for name, key in names.items()})


def _dead(network: VoxMol) -> dict[str, Tensor]:
    """Parameters of official checkpoints that the official code never uses."""
    if not network.config.groups:
        return {}
    return {
        official_name(f"{name}.norm.{part}", RULES): torch.empty(module.out.out_features)
        for name, module in network.named_modules()
        if isinstance(module, Attention)
        for part in ("weight", "bias")
    }


def load_checkpoint(network: VoxMol, path: str | Path) -> None:
    """Loads the averaged weights of a checkpoint.pth.tar, which has no others; CheckpointError for other files."""
    content = read_tensors(path, "fetch it again")
    if not isinstance(content, Mapping) or "state_dict_ema" not in content:
        raise CheckpointError(f"{path}: no 'state_dict_ema' in the file; give a VoxMol training checkpoint")
    load_state(network, content["state_dict_ema"], str(path))
