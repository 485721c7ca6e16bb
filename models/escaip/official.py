"""Loading official EScAIP v1 weights: the key names of spec escaip.md section 6."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from models.escaip.network import EScAIP
from models.official import CheckpointError, load_official, read_tensors

# Applied in this order to our names; the result is the official name.
RULES = (
    (r"^input_block\.(edge_features\.)?(?!node_norm|edge_norm)", r"backbone.input_block.input_layer."),
    (r"^input_block\.(node|edge)_norm", r"backbone.input_block.norm.\1_norm"),
    (r"input_layer\.mlp\.", r"input_layer.edge_ffn."),
    (r"^blocks\.(\d+)\.attention\.(edge_features\.)?", r"backbone.transformer_blocks.\1.graph_attention."),
    (r"^blocks\.(\d+)\.attention_norm", r"backbone.transformer_blocks.\1.norm_attn"),
    (r"^blocks\.(\d+)\.(node|edge)_norm", r"backbone.transformer_blocks.\1.norm_ffn.\2_norm"),
    (r"^blocks\.(\d+)\.(node|edge)_mlp", r"backbone.transformer_blocks.\1.feedforward.mlp_\2"),
    (r"^readouts\.(\d+)\.node_", r"backbone.readout_layers.\1.energy_"),
    (r"^readouts\.(\d+)\.edge_", r"backbone.readout_layers.\1.force_"),
    (r"(energy|force)_mlp", r"\1_ffn"),
    (r"^(node|edge)_projection\.linear", r"backbone.output_projection.\1_projection.0"),
    (r"^(node|edge)_projection\.(readout|output)_norm", r"backbone.output_projection.\2_norm.\1_norm"),
    (r"^energy_head\.", r"output_heads.energy.energy_layer."),
    (r"^force_(direction|magnitude)\.", r"output_heads.forces.force_\1_layer."),
    (r"(output_heads.*)\.mlp\.", r"\1.ffn."),
    (r"(output_heads.*)\.final\.", r"\1.final_output.0."),
    (r"sender_(atom|direction)_embedding", r"source_\1_embedding"),
    (r"receiver_(atom|direction)_embedding", r"target_\1_embedding"),
    (r"_atom_embedding", r"_atomic_embedding"),
    (r"\.distance_embedding", r".edge_distance_embedding"),
    (r"\.combine\.linear\.", r".edge_linear.0."),
    (r"\.qkv\.", r".multi_head_attention.in_proj_"),
    (r"(graph_attention)\.out\.", r"\1.multi_head_attention.out_proj."),
    (r"\.angle_scale$", r".attn_scalar"),
    (r"\.up\.linear\.", r".0.0."),
    (r"\.down\.", r".1.0."),
    (r"\.linear\.", r".0."),
)


def load_state(
    network: EScAIP, state: Mapping[str, Tensor], source: str = "official EScAIP state dict"
) -> None:
    """Copies an official state dict into `network`; missing, extra or misshapen keys raise CheckpointError."""
    load_official(network, state, RULES, source)


def load_checkpoint(network: EScAIP, path: str | Path) -> None:
    """Loads the `state_dict` of a fairchem-1 checkpoint file. Raises CheckpointError for anything else."""
    content = read_tensors(path, "fetch it again")
    if not isinstance(content, Mapping) or "state_dict" not in content:
        raise CheckpointError(f"{path}: no 'state_dict' in the file; give a fairchem-1 training checkpoint")
    load_state(network, content["state_dict"], str(path))
