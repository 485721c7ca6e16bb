"""Loading official Proteína weights: the key names of spec proteina.md section 8."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.official import CheckpointError, load_official, read_tensors
from models.proteina.network import Proteina

REMEDY = "fetch it again"
# Applied in this order to our names; the result is the official name.
RULES = (
    (r"^coordinates\.", "linear_3d_embed."),
    (r"^sequence\.", "init_repr_factory.linear_out."),
    (r"^fold\.tables\.0\.", "cond_factory.feat_creators.1.embedding_C."),
    (r"^fold\.tables\.1\.", "cond_factory.feat_creators.1.embedding_A."),
    (r"^fold\.tables\.2\.", "cond_factory.feat_creators.1.embedding_T."),
    (r"^cond\.", "cond_factory.linear_out."),
    (r"^cond_transitions\.0\.", "transition_c_1."),
    (r"^cond_transitions\.1\.", "transition_c_2."),
    (r"^pair_features\.linear\.", "pair_repr_builder.init_repr_factory.linear_out."),
    (r"^pair_features\.norm\.", "pair_repr_builder.init_repr_factory.ln_out."),
    (r"^pair_features\.cond\.", "pair_repr_builder.cond_factory.linear_out."),
    (r"^pair_features\.cond_norm\.", "pair_repr_builder.cond_factory.ln_out."),
    (r"^pair_features\.adaptive\.", "pair_repr_builder.adaln."),
    (r"^layers\.", "transformer_layers."),
    (r"\.attention_adaptive\.", ".mhba.adaln."),
    (r"\.attention_gate\.", ".mhba.scale_output.to_adaln_zero_gamma.0."),
    (r"\.pair_bias\.norm\.", ".mhba.mha.pair_norm."),
    (r"\.pair_bias\.linear\.", ".mhba.mha.to_bias."),
    (r"\.attention\.norm\.", ".mhba.mha.node_norm."),
    (r"\.attention\.qkv\.", ".mhba.mha.to_qkv."),
    (r"\.attention\.query_norm\.", ".mhba.mha.q_layer_norm."),
    (r"\.attention\.key_norm\.", ".mhba.mha.k_layer_norm."),
    (r"\.attention\.gate\.", ".mhba.mha.to_g."),
    (r"\.attention\.out\.", ".mhba.mha.to_out_node."),
    (r"^(transformer_layers\.\d+)\.transition\.", r"\1.transition.transition."),
    (r"\.transition_adaptive\.", ".transition.adaln."),
    (r"\.transition_gate\.", ".transition.scale_output.to_adaln_zero_gamma.0."),
    (r"\.cond_norm\.", ".norm_cond."),
    (r"\.scale\.", ".to_gamma.0."),
    (r"\.shift\.", ".to_beta."),
    (r"^(trans.*)\.up\.", r"\1.swish_linear.0."),
    (r"^(trans.*)\.down\.", r"\1.linear_out."),
    (r"^pair_updates\.", "pair_update_layers."),
    (r"^(pair_update_layers\.\d+)\.norm\.", r"\1.layer_norm_in."),
    (r"\.outer_sum\.", ".linear_x."),
    (r"\.outgoing\.", ".tri_mult_out."),
    (r"\.incoming\.", ".tri_mult_in."),
    (r"(tri_mult_\w+)\.(a|b)\.", r"\1.linear_\2_p."),
    (r"(tri_mult_\w+)\.(a|b)_gate\.", r"\1.linear_\2_g."),
    (r"(tri_mult_\w+)\.out\.", r"\1.linear_z."),
    (r"(tri_mult_\w+)\.out_gate\.", r"\1.linear_g."),
    (r"\.norm_(in|out)\.", r".layer_norm_\1."),
    (r"^(pair_update_layers\.\d+\.transition)\.norm\.", r"\1_out.layer_norm."),
    (r"^(pair_update_layers\.\d+\.transition)\.up\.", r"\1_out.linear_1."),
    (r"^(pair_update_layers\.\d+\.transition)\.down\.", r"\1_out.linear_2."),
    (r"^pair_head\.", "pair_head_prediction."),
    (r"^decoder\.norm\.", "coors_3d_decoder.0."),
    (r"^decoder\.linear\.", "coors_3d_decoder.1."),
)


def load_state(
    network: Proteina, state: Mapping[str, Tensor], source: str = "official Proteína state dict"
) -> None:
    """Copies an official state dict into `network`; missing, extra or misshapen keys raise CheckpointError.

    The prefix `nn.` of the keys of a training checkpoint is removed. Shapes do not show the order of the
    sequence features and the numbers of bins of the pair features: the network must be built with the right ones.
    """
    state = {key.removeprefix("nn."): value for key, value in state.items()}
    triangles = any(".tri_mult_" in key for key in state)
    if triangles != network.config.triangles:
        have, lacks = ("has", "without") if triangles else ("lacks", "with")
        raise CheckpointError(
            f"{source}: the checkpoint {have} triangle layers, but the network was built {lacks} them: "
            "choose the variant of models.proteina.network.PUBLISHED that the checkpoint is of"
        )
    load_official(network, state, RULES, source)


def fold_classes(
    state: Mapping[str, Tensor], source: str = "official Proteína state dict"
) -> tuple[int, int, int]:
    """The numbers of CATH labels in an official state dict, for ProteinaConfig.fold_classes."""
    prefix = "cond_factory.feat_creators.1.embedding_"
    rows = {key.removeprefix("nn."): len(value) for key, value in state.items() if prefix in key}
    try:
        return tuple(rows[f"{prefix}{level}.weight"] - 1 for level in "CAT")
    except KeyError as error:
        raise CheckpointError(
            f"{source}: the checkpoint is missing {error}: its fold tables have no size without it; "
            "give a checkpoint of Proteína"
        ) from error


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The `state_dict` of a Lightning checkpoint file. Raises CheckpointError for anything else.

    Official files also hold pickled configuration objects. They are not built: torch's reader of plain
    tensors reads the file, and every other name becomes an inert object.
    """
    with torch.serialization.safe_globals(_stand_ins(path)):
        content = read_tensors(path, REMEDY)
    state = content.get("state_dict") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: no 'state_dict' of tensors in the file; give a training checkpoint")
    return dict(state)


def load_checkpoint(network: Proteina, path: str | Path) -> None:
    """Loads the weights of an official checkpoint file; X-EMA.ckpt has the averaged ones."""
    load_state(network, read_checkpoint(path), str(path))


class _Inert:
    """Replaces objects of unknown classes: accepts any arguments and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _empty_dict(*args: Any) -> dict:
    """Replaces a defaultdict by a dict that torch's reader fills, without its factory."""
    return {}


def _stand_ins(path: str | Path) -> list[tuple[Callable, str]]:
    """The replacements of all names in a checkpoint file that torch's reader of plain tensors does not know.

    Raises CheckpointError for files that torch.save did not write, such as TorchScript, whose code would run.
    """
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception as error:  # torch raises many unrelated exception types for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: not a checkpoint ({reason}); {REMEDY}") from error
    return [(_empty_dict if name == "collections.defaultdict" else _Inert, name) for name in names]
