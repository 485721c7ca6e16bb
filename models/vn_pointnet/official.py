"""Loading official Vector Neurons weights, and the dense terms of ES-relaxed ones (spec vn_pointnet.md section 6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from models.official import CheckpointError, load_official, official_name, read_tensors

# Applied in this order to our names; the result is the official name. They also apply to single layers.
RULES = (
    (r"^(conv3|fstn\.fc3)\.weight$", r"\1.map_to_feat.weight"),
    (r"^weight$", r"map_to_feat.weight"),
    (r"(^|\.)feature\.weight$", r"\1map_to_feat.weight"),
    (r"(^|\.)direction\.weight$", r"\1map_to_dir.weight"),
    (r"(^|\.)norm\.", r"\1batchnorm."),
    (r"^(conv|pool|fstn|bn3|std_feature)", r"feat.\1"),
)
# The official names of a dense term, by the names of the map to which it is added.
DENSE = {
    "dense_lin.weight": "map_to_feat.weight",
    "dense_lin.bias": "map_to_feat.weight",
    "dense_map_to_dir.weight": "map_to_dir.weight",
}


@dataclass(frozen=True)
class DenseTerm:
    """The unconstrained affine map that ES adds to one vector-neuron map, on flat rows of 3 C entries.

    Entry 3 c + i of a row is component i of channel c, as in the places that the network declares.
    weight: (3 C_out, 3 C_in). bias: (3 C_out,), or None for a map of directions.
    """

    weight: Tensor
    bias: Tensor | None


def load_state(
    module: nn.Module, state: Mapping[str, Tensor], source: str = "official VN-PointNet state dict"
) -> dict[str, DenseTerm]:
    """Copies an official state dict into a VNPointNet, or into one of its layers.

    Returns the dense terms of an ES-relaxed state, by the names of the maps they belong to; a plain state has
    none. Missing, extra or misshapen keys raise CheckpointError.
    """
    ours = {official_name(key, RULES): key for key in module.state_dict()}
    plain, dense = {}, {}
    for key, value in state.items():
        key = key.removeprefix("module.")
        prefix, kind, name = _split(key)
        if kind is None:
            plain[key] = value
            continue
        target = ours.get(prefix + DENSE[kind])
        if target is None:
            raise CheckpointError(
                f"{source}: the checkpoint has '{key}', but the network has no map to relax there: "
                "build the network with the checkpoint's own configuration"
            )
        dense.setdefault(target.removesuffix("weight").removesuffix("."), {})[name] = value
    load_official(module, plain, RULES, source)
    weights = {key.removesuffix("weight").removesuffix("."): w for key, w in module.state_dict().items()}
    return {name: _dense_term(term, weights[name], f"{source}: {name}") for name, term in dense.items()}


def load_checkpoint(network: nn.Module, path: str | Path) -> dict[str, DenseTerm]:
    """Loads a file of the official training script, VN's or ES's; returns what load_state does.

    Raises CheckpointError for anything else.
    """
    content = read_tensors(path, "save {'model_state_dict': ...} with nothing but tensors in it")
    if not isinstance(content, Mapping) or "model_state_dict" not in content:
        raise CheckpointError(
            f"{path}: no 'model_state_dict' in the file; give a checkpoint of the official training script"
        )
    return load_state(network, content["model_state_dict"], str(path))


def _split(key: str) -> tuple[str, str | None, str]:
    """'feat.conv1.dense_lin.bias' -> ('feat.conv1.', 'dense_lin.bias', 'bias'); other keys have no kind."""
    for kind in DENSE:
        if key == kind or key.endswith("." + kind):
            return key.removesuffix(kind), kind, kind.rpartition(".")[2]
    return key, None, ""


def _dense_term(term: Mapping[str, Tensor], weight: Tensor, source: str) -> DenseTerm:
    C_out, C_in = weight.shape
    dense, bias = term.get("weight"), term.get("bias")
    if dense is None or dense.shape != (3 * C_out, 3 * C_in):
        found = "no dense weight" if dense is None else f"a dense weight of shape {tuple(dense.shape)}"
        raise CheckpointError(f"{source}: {found} where {(3 * C_out, 3 * C_in)} is needed")
    if bias is not None and bias.shape != (3 * C_out,):
        raise CheckpointError(f"{source}: a bias of shape {tuple(bias.shape)} where {(3 * C_out,)} is needed")
    return DenseTerm(dense, bias)
