"""The formulas of spec escaip.md section 3 without optimisation, which a test and the benchmark compare with.

Distances are expanded in every layer and multiplied densely, every concatenation is formed, everything is computed
per edge, and dropout is torch's. Weights and geometry are those of an EScAIP.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.escaip.network import MLP, EdgeFeatures, EScAIP, ForceTerms, Geometry, GraphAttention, LinearGELU
from models.escaip.smearing import gaussian_smearing


def predict(
    network: EScAIP, positions: Tensor, atomic_numbers: Tensor, graph_index: Tensor, num_graphs: int
) -> tuple[Tensor, Tensor]:
    """Energies (B,) and forces (N, 3), as `EScAIP.forward`."""
    geometry = network.geometry(positions, atomic_numbers, graph_index, num_graphs)
    first = network.input_block
    edge = _edge_features(network, first.edge_features, geometry)
    edge = edge + _mlp(first.mlp, first.norm(edge))
    node, edge = first.node_norm(geometry.mean(edge)), first.edge_norm(edge)
    nodes, edges = [], []
    for depth, readout in enumerate(network.readouts):
        if depth:
            block = network.blocks[depth - 1]
            attended = _attention(network, block.attention, block.attention_norm(node), geometry)
            node, edge = node + geometry.mean(attended), edge + attended
            node = node + _mlp(block.node_mlp, block.node_norm(node))
            edge = edge + _mlp(block.edge_mlp, block.edge_norm(edge))
        nodes.append(node + _mlp(readout.node_mlp, readout.node_norm(node)))
        edges.append(edge + _mlp(readout.edge_mlp, readout.edge_norm(edge)))
    node, edge = network.node_projection(nodes), network.edge_projection(edges)
    energy, magnitude, direction = network.energy_head, network.force_magnitude, network.force_direction
    per_atom = energy.final(node + _mlp(energy.mlp, node))[:, 0]
    counts = torch.bincount(graph_index, minlength=num_graphs)
    energies = per_atom.new_zeros(num_graphs).index_add(0, graph_index, per_atom) / counts
    coefficients = direction.final(edge + _mlp(direction.mlp, edge)) * geometry.graph.mask[..., None]
    terms = ForceTerms(
        coefficients, magnitude.final(node + _mlp(magnitude.mlp, node)), geometry.graph.direction
    )
    return energies, terms.forces()


def _linear_gelu(layer: LinearGELU, x: Tensor, dropout: float | None = None) -> Tensor:
    return F.dropout(F.gelu(layer.linear(x)), layer.dropout if dropout is None else dropout, layer.training)


def _mlp(mlp: MLP, x: Tensor) -> Tensor:
    return F.dropout(mlp.down(_linear_gelu(mlp.up, x)), mlp.up.dropout, mlp.training)


def _edge_features(network: EScAIP, layer: EdgeFeatures, geometry: Geometry) -> Tensor:
    config, graph, drop = network.config, geometry.graph, layer.combine.dropout
    senders, shape = graph.neighbors, graph.mask.shape
    order, Z = geometry.bond_order, geometry.atomic_numbers
    receivers = torch.arange(shape[0], device=Z.device)[:, None].expand(shape)
    raw = [
        _linear_gelu(
            layer.distance_embedding,
            gaussian_smearing(graph, config.max_radius, config.edge_distance_expansion_size),
        ),
        _linear_gelu(layer.sender_direction_embedding, order[senders], drop),
        layer.sender_atom_embedding(Z[senders]),
        _linear_gelu(layer.receiver_direction_embedding, order[receivers], drop),
        layer.receiver_atom_embedding(Z[receivers]),
    ]
    return _linear_gelu(layer.combine, torch.cat(raw, dim=-1))


def _attention(network: EScAIP, layer: GraphAttention, node: Tensor, geometry: Geometry) -> Tensor:
    senders = geometry.from_senders(node)
    pair = _linear_gelu(layer.node_linear, torch.cat([senders, node[:, None].expand_as(senders)], dim=-1))
    edge = _edge_features(network, layer.edge_features, geometry)
    query, key, value = layer.query_key_value(_linear_gelu(layer.message_linear, torch.cat([edge, pair], -1)))
    logits = query @ key.mT / query.shape[-1] ** 0.5 + layer.logit_bias(geometry.graph)
    weights = F.dropout(logits.softmax(-1), layer.dropout, layer.training)
    return layer.out((weights @ value).transpose(1, 2).flatten(2))
