"""SEGNN on charged particles, for degrees l <= 1 (spec segnn.md section 3).

Read from top to bottom in order of execution. Shapes: B graphs of n particles, all of them neighbours of each other;
k = n - 1 edges into every particle, listed by destination; m channels of scalars and of vectors. Node features
are (m, 4, B, n), a scalar and a vector to each channel; those of edges come apart, in columns (..., B n k).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.segnn.products import (
    Block,
    GatedProduct,
    Inner,
    Product,
    Spread,
    channels,
    gated,
    separate,
    steerable,
    together,
)
from models.segnn.settings import SEGNNConfig

if TYPE_CHECKING:
    from twirl.relaxation.places import Place

Y0 = (4 * math.pi) ** -0.5  # spherical harmonics with integral normalisation, degrees 0 and 1
Y1 = (3 / (4 * math.pi)) ** 0.5


@dataclass(frozen=True)
class Edges:
    """What is known of all edges. y: (3, E) attributes of degree 1. additional: (2, E) distance, product of charges."""

    y: Tensor
    additional: Tensor


class CompleteGraph(nn.Module):
    """Who sends to whom among n particles; 0/1 matrices, because products with them have products as derivatives."""

    def __init__(self, n: int):
        super().__init__()
        self.n = n
        target, source = (torch.eye(n) == 0).nonzero().unbind(1)
        eye = torch.eye(n)
        for name, value in {
            "target": target,
            "source": source,
            "of_target": eye[:, target],
            "of_ends": torch.cat([eye[:, target], eye[:, source]]),
        }.items():
            self.register_buffer(name, value, persistent=False)

    def gather(self, of_target: Tensor, of_source: Tensor) -> Tensor:
        """Sums over the two ends of every edge: (..., B n) twice -> (..., B n k)."""
        ends = torch.cat([p.reshape(-1, self.n) for p in (of_target, of_source)], dim=1)
        return (ends @ self.of_ends).view(*of_target.shape[:-1], -1)

    def total(self, messages: Tensor) -> Tensor:
        """Sums over the edges into every particle: (..., B n k) -> (..., B n)."""
        rows = messages.reshape(-1, len(self.target))
        return (rows @ self.of_target.mT).view(*messages.shape[:-1], -1)


class MessageLayer(nn.Module):
    """Messages between all particles of a graph, and the update of the particles by their sums."""

    def __init__(self, channels: int):
        super().__init__()
        node = steerable(channels)
        # Target before source, as in the official weights.
        self.message_layer_1 = GatedProduct([*node, *node, Block(0, 2)], channels, Y0)
        self.message_layer_2 = GatedProduct(node, channels, Y0)
        self.update_layer_1 = GatedProduct([*node, *node], channels, 1.0)
        self.update_layer_2 = Product(node, channels, channels, 1.0)
        self.compiled: Callable[..., tuple[Tensor, Tensor]] | None = None

    def compile_messages(self) -> None:
        """From now on training computes messages, most of its work, by torch.compile; only rounding changes."""
        # Evaluation keeps the plain functions: its batches are of many sizes, and each would be compiled.
        self.compiled = torch.compile(self.messages, fullgraph=True, dynamic=False)

    def messages(self, h: Tensor, edges: Edges, graph: CompleteGraph) -> tuple[Tensor, Tensor]:
        """Gated messages s (m, E), V (m, 3, E) from node features (m, 4, B, n)."""
        return self.message_layer_2.apart(*self.first_messages(h, edges, graph), edges.y)

    def first_messages(self, h: Tensor, edges: Edges, graph: CompleteGraph) -> tuple[Tensor, Tensor]:
        """Linear in either end of an edge before the gate: matrices act on nodes, not on four times as many edges."""
        product, m = self.message_layer_1, len(h)
        s, V = separate(h)
        A, B = product.matrices()
        inward, outward = product.attributes(edges.y)
        A_st, A_ss, A_sa, A_Vt, A_Vs = A.split([m, m, 2, m, m], dim=1)
        B_st, B_ss, B_sa, B_Vt, B_Vs = B.split([m, m, 2, m, m], dim=1)
        a = graph.gather(torch.addmm(product.bias[:, None], A_st, s), A_ss @ s)
        b = graph.gather(B_st @ s, B_ss @ s)
        a, b = (torch.addmm(p, W, edges.additional) for p, W in ((a, A_sa), (b, B_sa)))
        V_a = graph.gather(channels(A_Vt, V), channels(A_Vs, V))
        V_b = graph.gather(channels(B_Vt, V), channels(B_Vs, V))
        return gated(a + Inner.apply(V_a, inward), Spread.apply(V_b, b, outward))

    def update_input(self, h: Tensor, s: Tensor, V: Tensor, graph: CompleteGraph) -> Tensor:
        """Node features before the sums of the messages: (2 m, 4, B, n)."""
        return torch.cat([h, together(graph.total(s), graph.total(V)).view(h.shape)])

    def forward(self, h: Tensor, edges: Edges, y: Tensor, graph: CompleteGraph) -> Tensor:
        messages = self.compiled if self.compiled and self.training else self.messages
        u = self.update_input(h, *messages(h, edges, graph), graph)
        return h + self.update_layer_2(self.update_layer_1(u, y), y)


class SEGNN(nn.Module):
    """Positions of charged particles some time later, E(3)-equivariant (about the origin only, with center "none")."""

    def __init__(self, config: SEGNNConfig):
        super().__init__()
        if config.lmax != 1:
            raise ValueError(
                f"this network has degrees up to 1, not {config.lmax}: see models.segnn.steerable"
            )
        self.config = config
        m = config.channels
        self.graph = CompleteGraph(config.particles)
        self.embedding_layer = Product([Block(1, 2), Block(0, 1)], m, m, 1.0)
        self.layers = nn.ModuleList(MessageLayer(m) for _ in range(config.layers))
        self.pre_pool1 = GatedProduct(steerable(m), m, 1.0)
        self.pre_pool2 = Product(steerable(m), 0, 1, 1.0)

    def forward(self, x: Tensor, v: Tensor, charges: Tensor) -> Tensor:
        """x, v (B, n, 3) and charges (B, n) -> positions (B, n, 3); ValueError for another number of particles."""
        self._check(x)
        edges, y = self.attributes(x, v, charges)
        h = self.embed(x, v, y)
        for layer in self.layers:
            h = layer(h, edges, y, self.graph)
        p = self.pre_pool1(h, y)
        _, d = self.pre_pool2.features(p, y)
        return x + d.view(3, *x.shape[:2]).permute(1, 2, 0)

    def attributes(self, x: Tensor, v: Tensor, charges: Tensor) -> tuple[Edges, Tensor]:
        """Of the edges, and y (3, B, n) of the nodes: the mean over their edges and the velocity's direction."""
        target, source = self.graph.target, self.graph.source
        x, v = (a.permute(2, 0, 1).contiguous() for a in (x, v))
        relative = x[..., source] - x[..., target]  # (3, B, n k)
        distance = relative.square().sum(0).sqrt()
        y = _direction(relative, distance)
        additional = torch.stack([distance, charges[:, source] * charges[:, target]]).flatten(1)
        of_nodes = y.unflatten(-1, (self.graph.n, -1)).mean(-1) + _direction(v, v.square().sum(0).sqrt())
        return Edges(y.flatten(1), additional), of_nodes

    def inputs(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """|v| (1, B n), and the centred x and v (2, 3, B n)."""
        if self.config.center == "graph_mean":
            x = x - x.mean(1, keepdim=True)
        elif self.config.center == "coordinate_mean":
            x = x - x.mean(-1, keepdim=True)
        V = torch.stack([x, v]).flatten(1, 2).mT.contiguous()
        return V[1].square().sum(0, keepdim=True).sqrt(), V

    def embed(self, x: Tensor, v: Tensor, y: Tensor) -> Tensor:
        """The first node features (m, 4, B, n)."""
        return together(*self.embedding_layer.apart(*self.inputs(x, v), y.flatten(1))).unflatten(
            -1, x.shape[:2]
        )

    def places(self) -> list["Place"]:
        """The two products of every layer's update, which are what ES and ACE relax (spec segnn.md 4.1)."""
        layers, m = range(self.config.layers), self.config.channels
        return [place for i in layers for place in update_places(f"layers.{i}", m)]

    def _check(self, x: Tensor) -> None:
        if x.ndim != 3 or x.shape[1:] != (self.graph.n, 3):
            raise ValueError(
                f"SEGNN: positions must be (graphs, {self.graph.n}, 3), not {tuple(x.shape)}; build the network for "
                "as many particles as the data have"
            )


def update_places(layer: str, channels: int) -> list["Place"]:
    """The places of the MessageLayer of this name; features lie as (channel, scalar and vector, graph, node)."""
    from twirl.relaxation.places import Place  # here, so that the network alone needs no relaxation
    from twirl.representations import IrrepsRep

    irreps = IrrepsRep("1x0e + 1x1o")
    return [
        Place(f"{layer}.update_layer_{k}", irreps, irreps, (inputs, 4), (channels, 4), axes=(0, 1))
        for k, inputs in ((1, 2 * channels), (2, channels))
    ]


def _direction(r: Tensor, length: Tensor) -> Tensor:
    """Spherical harmonics of degree 1 of the direction of r (3, ...); zero for a zero vector."""
    return r * (Y1 / length.clamp_min(torch.finfo(r.dtype).tiny))
