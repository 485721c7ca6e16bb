"""Temporal convolutions and the graph layer of EGNO (spec egno.md 3.4 to 3.6).

Shapes: T frames, B graphs of N nodes with the same E edges, H features. Node features are (T, B, N, H), positions and
velocities (T, B, N, 3), edge features (T, B, E, H). With frames first, a temporal convolution is one small matrix
product without transposed copies.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.egno.messages import Bags, FrameByFrame, Graph, messages

LARGEST_FORCE = 100.0


class Frequencies:
    """The first `modes` frequencies of a real series of length T, as real matrices.

    analysis (2 K - 1, T): rows Re f_0, Re f_1, ..., Im f_1, ... of the discrete Fourier transform. synthesis
    (T, 2 K - 1): the inverse transform of such coefficients, with zeros for other frequencies.
    """

    def __init__(self, T: int, modes: int):
        self.modes = K = min(modes, T // 2 + 1)
        angle = 2 * math.pi / T * torch.outer(torch.arange(K), torch.arange(T)).double()
        # A coefficient represents its frequency and the mirror image, except for the mean and, for even T, the last.
        weight = torch.full((K, 1), 2.0 / T, dtype=torch.float64)
        weight[0] = 1 / T
        if 2 * (K - 1) == T:
            weight[-1] = 1 / T
        self.analysis = torch.cat([angle.cos(), -angle[1:].sin()])
        self.synthesis = torch.cat([weight * angle.cos(), -(weight * angle.sin())[1:]]).mT.contiguous()


class TimeConv(nn.Module):
    """Mixes channels for each frequency along time: z + act(F^-1 (W_k F z)).

    weights: (channels in, channels out, modes, 2), real and imaginary part. The imaginary part has no effect for the
    mean and, for even T, the last frequency. slope: of a leaky ReLU; 1 for none.
    """

    def __init__(self, channels: int, T: int, modes: int, scale: float, slope: float = 1.0):
        super().__init__()
        self.slope = slope
        self.weights = nn.Parameter(scale * torch.rand(channels, channels, modes, 2))
        frequencies = Frequencies(T, modes)
        self.modes = frequencies.modes
        self.register_buffer("analysis", frequencies.analysis.float(), persistent=False)
        self.register_buffer("synthesis", frequencies.synthesis.float(), persistent=False)

    def _apply(self, fn, recurse=True):
        """Recomputes the matrices in the new precision: converting them to double would keep single precision."""
        super()._apply(fn, recurse)
        if self.analysis.dtype == torch.float64:
            frequencies = Frequencies(self.analysis.shape[1], self.modes)
            self.analysis.copy_(frequencies.analysis)
            self.synthesis.copy_(frequencies.synthesis)
        return self

    def forward(self, z: Tensor) -> Tensor:
        """(T, ..., channels) -> the same shape."""
        T, C, K = len(z), z.shape[-1], self.modes
        f = (self.analysis @ z.reshape(T, -1)).view(2 * K - 1, -1, C)
        mean, re, im = f.split([1, K - 1, K - 1])
        mean = mean @ self.weights[:, :, 0, 0]
        # [Re | Im] times [[Re W, Im W], [-Im W, Re W]]: one real product for each frequency.
        W_re, W_im = self.weights[:, :, 1:K].permute(3, 2, 0, 1)
        W = torch.cat([torch.cat([W_re, W_im], dim=-1), torch.cat([-W_im, W_re], dim=-1)], dim=-2)
        re, im = (torch.cat([re, im], dim=-1) @ W).chunk(2, dim=-1)
        y = (self.synthesis @ torch.cat([mean, re, im]).flatten(1)).view_as(z)
        return z + (y if self.slope == 1 else F.leaky_relu(y, self.slope))


class NodeMap(nn.Linear):
    """A linear map of a node's invariant features, which gets all of its features (..., features + 6).

    It ignores the last six, the centred position and the velocity, because an invariant linear map of vectors is
    zero. The unconstrained map of a relaxed layer reads them.
    """

    VECTORS = 6

    def forward(self, z: Tensor) -> Tensor:
        return F.linear(z[..., : self.in_features], self.weight, self.bias)

    def matrix(self) -> Tensor:
        """The weight on all features (out, in + 6)."""
        return F.pad(self.weight, (0, self.VECTORS))


class Displacement(nn.Module):
    """The identity on a node's displacement, a place to relax: (features of the node, displacement) -> displacement."""

    def forward(self, z: Tensor, displacement: Tensor) -> Tensor:
        return displacement


class Nodes:
    """Features of nodes: invariant ones (..., H), and centred positions with velocities (..., 6)."""

    def __init__(self, invariant: Tensor, vectors: Tensor):
        self.invariant, self.vectors = invariant, vectors
        self._all: Tensor | None = None

    @property
    def all(self) -> Tensor:
        """All features, (..., H + 6)."""
        if self._all is None:
            self._all = torch.cat([self.invariant, self.vectors], dim=-1)
        return self._all

    def through(self, layer: nn.Module) -> Tensor:
        """Applies a NodeMap, or the relaxed layer in its place.

        A relaxed layer may have an attribute `acts_as`: the NodeMap that it currently equals, or None. A plain
        NodeMap only gets the invariant features.
        """
        plain = getattr(layer, "acts_as", layer)
        if type(plain) is NodeMap:
            return F.linear(self.invariant, plain.weight, plain.bias)
        return layer(self.all)

    def moved_by(self, displacement: Tensor, layer: nn.Module) -> Tensor:
        """The displacement after a Displacement, or after the relaxed layer in its place."""
        plain = getattr(layer, "acts_as", layer)
        return displacement if type(plain) is Displacement else layer(self.all, displacement)


class GraphLayer(nn.Module):
    """Messages along edges, displacements along edges and velocities, new node features.

        m_ij = phi_e(|r|^2, h_i, h_j, a_ij), r = x_i - x_j
        x_i += mean_j r phi_x(m_ij) + phi_v(h_i) v_i
        h_i = phi_h(h_i, sum_j m_ij)

    The first map of phi_e is split: `message` acts on h_i and on h_j at the nodes, `edge` on the edge's own inputs, so
    that its concatenated input is never formed. phi_x is `pull`, phi_v `drift`; `update` and `readout` are phi_h.
    """

    def __init__(self, H: int, edge_features: int, flat: bool, norm: bool, velocity: bool):
        super().__init__()
        self.act = torch.tanh if flat else F.silu
        self.norm = norm
        inner = 4 * H if flat else H
        self.message = NodeMap(H, 2 * inner, bias=False)
        self.edge = nn.Linear(1 + edge_features, inner)
        fan_in = 1 + 2 * H + edge_features  # fan-in of the one map that these two form
        for parameter in (self.message.weight, self.edge.weight, self.edge.bias):
            nn.init.uniform_(parameter, -(fan_in**-0.5), fan_in**-0.5)
        self.message_out = nn.Linear(inner, H)
        self.pull = nn.Linear(H, inner)
        self.pull_out = nn.Linear(inner, 1)
        if velocity:
            self.drift = NodeMap(H, inner)
            self.drift_out = nn.Linear(inner, 1)
        else:
            self.drift = None
        self.displacement = Displacement()
        self.update = NodeMap(2 * H, inner)
        self.readout = NodeMap(inner, H)

    def forward(
        self,
        x: Tensor,
        v: Tensor,
        nodes: Nodes,
        edge_attr: Tensor,
        graph: Graph,
        bags: Bags | None,
        last: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """New x and h. bags: of the graph, on a CPU. last: h is not needed and returned as None."""
        r = graph.differences(x)
        received, c = self._messages(nodes, r, edge_attr, graph, bags, receive=not last)
        move = (graph.mean @ (r * c)).clamp(-LARGEST_FORCE, LARGEST_FORCE)
        if self.drift is not None:
            move = torch.addcmul(move, self.drift_out(self.act(nodes.through(self.drift))), v)
        x = x + nodes.moved_by(move, self.displacement)
        if last:
            return x, None
        both = Nodes(torch.cat([nodes.invariant, received], dim=-1), nodes.vectors)
        inner = Nodes(self.act(both.through(self.update)), nodes.vectors)
        return x, inner.through(self.readout)

    def _messages(
        self,
        nodes: Nodes,
        r: Tensor,
        edge_attr: Tensor,
        graph: Graph,
        bags: Bags | None,
        receive: bool,
    ) -> tuple[Tensor | None, Tensor]:
        """Sums of messages (T, B, N, H), or None, and phi_x of them (T, B, E, 1)."""
        radial = r.square().sum(-1, keepdim=True)
        radial = F.normalize(radial, dim=-1) if self.norm else radial
        T, B = radial.shape[:2]
        one = torch.ones_like(radial)  # this one has the bias
        inputs = (
            nodes.through(self.message).reshape(T, B, 2 * graph.nodes, -1),
            torch.cat([radial, edge_attr.expand(T, -1, -1, -1), one], dim=-1),
            torch.cat([self.edge.weight, self.edge.bias[:, None]], dim=1),
            self.message_out.weight,
            self.message_out.bias,
            self.pull.weight,
            self.pull.bias,
            self.pull_out.weight[0],
        )
        if bags is not None and self.act is F.silu:
            of_nodes, features, *weights = inputs
            frames = [a.reshape(-1, bags.graphs, *a.shape[2:]) for a in (of_nodes, features)]
            received, c = FrameByFrame.apply(*frames, *weights, bags, receive)
            received = received.view(T, B, graph.nodes, -1) if receive else None
            c = c.view(T, B, -1)
        else:
            received, c = messages(*inputs, graph, receive, self.act)
        return received, (c + self.pull_out.bias).unsqueeze(-1)
