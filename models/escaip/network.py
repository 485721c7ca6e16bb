"""EScAIP version 1 with direct forces: an attention network over neighbour lists (spec escaip.md section 3).

Read from top to bottom in order of execution. Shapes: N atoms, M neighbour slots, H channels, B molecules.
Everything up to the two latents is exactly rotation invariant; only the force head sees a direction.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.escaip.bond_order import bond_order
from models.escaip.graph import NeighborGraph, build_graph
from models.escaip.settings import EScAIPConfig
from models.escaip.smearing import SmearedDistances
from models.training.dropout import dropout


@dataclass(frozen=True)
class Geometry:
    """The inputs that every layer reads: the graph of a batch and its invariant features.

    atomic_numbers: (N,). distances: (N, M) on K Gaussians. bond_order: (N, orders).
    """

    graph: NeighborGraph
    atomic_numbers: Tensor
    distances: SmearedDistances
    bond_order: Tensor

    def from_senders(self, node: Tensor) -> Tensor:
        """(N, C) -> (N, M, C): the row of each slot's sender."""
        return node[self.graph.neighbors]

    def mean(self, edge: Tensor) -> Tensor:
        """(N, M, C) -> (N, C): sum over used slots divided by (their number + 1e-5), as officially."""
        mask = self.graph.mask
        total = (edge * mask[..., None]).sum(1)
        return total / (mask.sum(1, dtype=edge.dtype) + 1e-5)[:, None]


class LinearGELU(nn.Module):
    """Linear, GELU, dropout."""

    def __init__(self, width_in: int, width_out: int, dropout: float = 0.0):
        super().__init__()
        self.linear = nn.Linear(width_in, width_out)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        return dropout(F.gelu(self.linear(x)), self.dropout, self.training)


class MLP(nn.Module):
    """Two linear layers with a hidden width of `multiplier` H; dropout after each."""

    def __init__(self, width: int, multiplier: int, dropout: float):
        super().__init__()
        self.up = LinearGELU(width, multiplier * width, dropout)
        self.down = nn.Linear(multiplier * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return dropout(self.down(self.up(x)), self.up.dropout, self.training)


class EdgeFeatures(nn.Module):
    """Embeds the raw geometry of every neighbour slot (spec escaip.md 3.1): (N, M, H).

    The concatenation [distance, sender's order, sender's element, receiver's order, receiver's element] is
    never formed: elements carry no dropout, so their columns of the linear layer act once per atom.
    """

    def __init__(self, config: EScAIPConfig):
        super().__init__()
        A, D, E = (
            config.atom_embedding_size,
            config.node_direction_embedding_size,
            config.edge_distance_embedding_size,
        )
        drop = config.mlp_dropout
        self.distance_embedding = LinearGELU(config.edge_distance_expansion_size, E, drop)
        self.sender_direction_embedding = LinearGELU(config.node_direction_expansion_size, D)
        self.sender_atom_embedding = nn.Embedding(config.max_num_elements, A)
        self.receiver_direction_embedding = LinearGELU(config.node_direction_expansion_size, D)
        self.receiver_atom_embedding = nn.Embedding(config.max_num_elements, A)
        self.combine = LinearGELU(E + 2 * D + 2 * A, config.hidden_size, drop)
        self.widths = [E, D, A, D, A]

    def forward(self, geometry: Geometry) -> Tensor:
        Z, slots = geometry.atomic_numbers, geometry.graph.mask.shape[1]
        drop = self.combine.dropout
        sender_order = geometry.from_senders(self.sender_direction_embedding(geometry.bond_order))
        receiver_order = self.receiver_direction_embedding(geometry.bond_order)[:, None].expand(-1, slots, -1)
        distance = self.distance_embedding.linear
        per_edge = torch.cat(
            [
                dropout(
                    F.gelu(geometry.distances.linear(distance.weight, distance.bias)), drop, self.training
                ),
                dropout(sender_order, drop, self.training),
                dropout(receiver_order, drop, self.training),
            ],
            dim=-1,
        )
        W_distance, W_sender, W_sender_atom, W_receiver, W_receiver_atom = self.combine.linear.weight.split(
            self.widths, dim=1
        )
        sender = F.linear(self.sender_atom_embedding(Z), W_sender_atom)
        receiver = F.linear(self.receiver_atom_embedding(Z), W_receiver_atom, self.combine.linear.bias)
        hidden = F.linear(per_edge, torch.cat([W_distance, W_sender, W_receiver], dim=1))
        hidden = hidden + geometry.from_senders(sender) + receiver[:, None]
        return dropout(F.gelu(hidden), drop, self.training)


class InputBlock(nn.Module):
    """First node and edge streams (spec escaip.md 3.2)."""

    def __init__(self, config: EScAIPConfig):
        super().__init__()
        H = config.hidden_size
        self.edge_features = EdgeFeatures(config)
        self.norm = nn.RMSNorm(H)
        self.mlp = MLP(H, 1, config.mlp_dropout)
        self.node_norm, self.edge_norm = nn.RMSNorm(H), nn.RMSNorm(H)

    def forward(self, geometry: Geometry) -> tuple[Tensor, Tensor]:
        edge = self.edge_features(geometry)
        edge = edge + self.mlp(self.norm(edge))
        return self.node_norm(geometry.mean(edge)), self.edge_norm(edge)


class GraphAttention(nn.Module):
    """Self-attention among the neighbour slots of one atom (spec escaip.md 3.3, step 2)."""

    def __init__(self, config: EScAIPConfig):
        super().__init__()
        H = config.hidden_size
        self.heads = config.num_heads
        self.dropout = config.attention_dropout
        self.edge_features = EdgeFeatures(config)
        self.node_linear = LinearGELU(2 * H, H, config.mlp_dropout)
        self.message_linear = LinearGELU(2 * H, H)
        self.qkv = nn.Linear(H, 3 * H)
        self.out = nn.Linear(H, H)
        self.angle_scale = nn.Parameter(torch.ones(())) if config.use_angle_embedding else None

    def message(self, node: Tensor, geometry: Geometry) -> Tensor:
        """(N, H) -> (N, M, H): the input of every slot to the attention."""
        H = node.shape[1]
        linear = self.node_linear.linear
        sender = F.linear(node, linear.weight[:, :H])
        receiver = F.linear(node, linear.weight[:, H:], linear.bias)
        pair = F.gelu(geometry.from_senders(sender) + receiver[:, None])
        pair = dropout(pair, self.node_linear.dropout, self.training)
        return self.message_linear(torch.cat([self.edge_features(geometry), pair], dim=-1))

    def logit_bias(self, graph: NeighborGraph) -> Tensor:
        """(N, 1, M, M): the scaled cosine between two neighbours, -inf at keys that are empty slots."""
        bias = graph.direction.new_zeros(graph.mask.shape).masked_fill(~graph.mask, -torch.inf)[:, None, :]
        if self.angle_scale is not None:
            bias = bias + self.angle_scale * (graph.direction @ graph.direction.mT)
        else:
            bias = bias.expand(-1, graph.mask.shape[1], -1)
        return bias[:, None]

    def query_key_value(self, message: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, M, H) -> three of (N, heads, M, H / heads)."""
        N, M, _ = message.shape
        return self.qkv(message).view(N, M, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, node: Tensor, geometry: Geometry) -> Tensor:
        message = self.message(node, geometry)
        query, key, value = self.query_key_value(message)
        bias = self.logit_bias(geometry.graph).to(query.dtype)
        attended = F.scaled_dot_product_attention(
            query, key, value, bias, dropout_p=self.dropout if self.training else 0.0
        )
        return self.out(attended.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Attention and MLPs with residuals on both streams (spec escaip.md 3.3)."""

    def __init__(self, config: EScAIPConfig):
        super().__init__()
        H = config.hidden_size
        self.attention_norm = nn.RMSNorm(H)
        self.attention = GraphAttention(config)
        self.node_norm, self.edge_norm = nn.RMSNorm(H), nn.RMSNorm(H)
        self.node_mlp = MLP(H, config.ffn_multiplier, config.mlp_dropout)
        self.edge_mlp = MLP(H, config.ffn_multiplier, config.mlp_dropout)

    def forward(self, node: Tensor, edge: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
        attended = self.attention(self.attention_norm(node), geometry)
        node, edge = node + geometry.mean(attended), edge + attended
        return node + self.node_mlp(self.node_norm(node)), edge + self.edge_mlp(self.edge_norm(edge))


class Readout(nn.Module):
    """Reads one depth of the network (spec escaip.md 3.4)."""

    def __init__(self, config: EScAIPConfig):
        super().__init__()
        H = config.hidden_size
        self.node_norm, self.edge_norm = nn.RMSNorm(H), nn.RMSNorm(H)
        self.node_mlp = MLP(H, config.readout_multiplier, config.mlp_dropout)
        self.edge_mlp = MLP(H, config.readout_multiplier, config.mlp_dropout)

    def forward(self, node: Tensor, edge: Tensor) -> tuple[Tensor, Tensor]:
        return node + self.node_mlp(self.node_norm(node)), edge + self.edge_mlp(self.edge_norm(edge))


class OutputProjection(nn.Module):
    """Fuses the readouts of all depths into one latent (spec escaip.md 3.5): (..., (L+1) H) -> (..., H)."""

    def __init__(self, config: EScAIPConfig):
        super().__init__()
        wide = (config.num_layers + 1) * config.hidden_size
        self.readout_norm = nn.RMSNorm(wide)
        self.linear = nn.Linear(wide, config.hidden_size)
        self.output_norm = nn.RMSNorm(config.hidden_size)

    def forward(self, readouts: list[Tensor]) -> Tensor:
        return self.output_norm(F.gelu(self.linear(self.readout_norm(torch.cat(readouts, dim=-1)))))


class ResidualHead(nn.Module):
    """x -> W (x + MLP(x)), without bias: the form of all three output layers."""

    def __init__(self, config: EScAIPConfig, outputs: int):
        super().__init__()
        self.mlp = MLP(config.hidden_size, config.output_multiplier, config.mlp_dropout)
        self.final = nn.Linear(config.hidden_size, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.final(x + self.mlp(x))


@dataclass(frozen=True)
class ForceTerms:
    """The factors of the force head (paper A eq. 17; spec escaip.md 3.6); a rotation changes only `direction`.

    coefficients c: (N, M, 3), zero in empty slots; magnitude m: (N, 1); direction: (N, M, 3).
    """

    coefficients: Tensor
    magnitude: Tensor
    direction: Tensor

    def forces(self) -> Tensor:
        """F_i = m_i sum_j c_ij * direction_ij, component by component: (N, 3), normalised units."""
        return self.magnitude * (self.coefficients * self.direction).sum(1)


@dataclass(frozen=True)
class Latents:
    """Rotation-invariant latents z_i: (N, H) and z_ij: (N, M, H), with their geometry."""

    node: Tensor
    edge: Tensor
    geometry: Geometry


class EScAIP(nn.Module):
    """Energies and direct forces of a batch of molecules, in normalised units."""

    def __init__(self, config: EScAIPConfig):
        super().__init__()
        self.config = config
        self.input_block = InputBlock(config)
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.num_layers))
        self.readouts = nn.ModuleList(Readout(config) for _ in range(config.num_layers + 1))
        self.node_projection = OutputProjection(config)
        self.edge_projection = OutputProjection(config)
        self.energy_head = ResidualHead(config, 1)
        self.force_direction = ResidualHead(config, 3)
        self.force_magnitude = ResidualHead(config, 1)
        self.apply(_initialise)
        for module in self.energy_head.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, gain=0.01)

    def geometry(
        self, positions: Tensor, atomic_numbers: Tensor, graph_index: Tensor, num_graphs: int
    ) -> Geometry:
        """The neighbour graph and its invariant features, in the precision of `positions`."""
        config = self.config
        graph = build_graph(
            positions, graph_index, num_graphs, config.max_radius, config.max_neighbors, config.box
        )
        return Geometry(
            graph,
            atomic_numbers,
            SmearedDistances.of(graph, config.max_radius, config.edge_distance_expansion_size),
            bond_order(graph, config.node_direction_expansion_size),
        )

    def latents(self, geometry: Geometry) -> Latents:
        """The invariant backbone (spec escaip.md 3.1-3.5)."""
        node, edge = self.input_block(geometry)
        depths = [self.readouts[0](node, edge)]
        for block, readout in zip(self.blocks, self.readouts[1:], strict=True):
            node, edge = block(node, edge, geometry)
            depths.append(readout(node, edge))
        nodes, edges = zip(*depths, strict=True)
        return Latents(self.node_projection(list(nodes)), self.edge_projection(list(edges)), geometry)

    def force_terms(self, latents: Latents) -> ForceTerms:
        """The directions and the invariant factors of the forces (spec escaip.md 3.6)."""
        graph = latents.geometry.graph
        coefficients = self.force_direction(latents.edge) * graph.mask[..., None]
        return ForceTerms(coefficients, self.force_magnitude(latents.node), graph.direction)

    def energies(self, latents: Latents, graph_index: Tensor, num_graphs: int) -> Tensor:
        """Mean over the atoms of each molecule (spec escaip.md 3.7): (B,)."""
        per_atom = self.energy_head(latents.node)[:, 0]
        per_atom = per_atom.to(
            torch.promote_types(per_atom.dtype, torch.float32)
        )  # bfloat16 is too coarse for sums
        counts = torch.bincount(graph_index, minlength=num_graphs)
        return per_atom.new_zeros(num_graphs).index_add(0, graph_index, per_atom) / counts

    def forward(
        self, positions: Tensor, atomic_numbers: Tensor, graph_index: Tensor, num_graphs: int
    ) -> tuple[Tensor, Tensor]:
        """positions (N, 3) [Angstrom], atomic_numbers (N,), graph_index (N,) -> energies (B,), forces (N, 3)."""
        latents = self.latents(self.geometry(positions, atomic_numbers, graph_index, num_graphs))
        return self.energies(latents, graph_index, num_graphs), self.force_terms(latents).forces()


def _initialise(module: nn.Module) -> None:
    """Xavier-uniform matrices, zero biases, embeddings uniform in +-0.001 (spec escaip.md 3.9)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.uniform_(module.weight, -0.001, 0.001)
