"""SEGNN on charged particles, for degrees l <= 1 (spec segnn.md section 3).

Read from top to bottom in order of execution. Shapes: B graphs of n particles, all of them neighbours of each other;
k = n - 1 edges into every particle, sorted by target; S scalars and V vectors. Node features have shape
(m, 4, B, n) for S = V = m, one scalar and one vector per channel, and (S + 3 V, B, n) otherwise (products.Irreps);
edge features are separate tensors of scalars and of vectors, with the edges last (..., B n k).
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
    Irreps,
    Product,
    Spread,
    channels,
    gated,
)
from models.segnn.settings import SEGNNConfig

if TYPE_CHECKING:
    from twirl.relaxation.places import Place

Y0 = (4 * math.pi) ** -0.5  # spherical harmonics with integral normalisation, degrees 0 and 1
Y1 = (3 / (4 * math.pi)) ** 0.5


@dataclass(frozen=True)
class Edges:
    """Inputs of all edges. y: (3, E) attributes of degree 1. additional: (2, E) distance, product of charges."""

    y: Tensor
    additional: Tensor


class CompleteGraph(nn.Module):
    """The edges among n particles as 0/1 matrices, because the derivatives of products with them are products too."""

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

    def __init__(self, node: Irreps):
        super().__init__()
        self.node = node
        # Target before source, as in the official weights.
        self.message_layer_1 = GatedProduct([node, node, Block(0, 2)], node, Y0)
        self.message_layer_2 = GatedProduct([node], node, Y0)
        self.update_layer_1 = GatedProduct([node, node], node, 1.0)
        self.update_layer_2 = Product([node], node, 1.0)
        self.compiled: Callable[..., tuple[Tensor, Tensor]] | None = None

    def compile_messages(self) -> None:
        """Compiles the messages, most of the work, with torch.compile for training; this changes only rounding."""
        # Evaluation uses the plain functions: its batches have many sizes, and each would be compiled.
        self.compiled = torch.compile(self.messages, fullgraph=True, dynamic=False)

    def messages(self, h: Tensor, edges: Edges, graph: CompleteGraph) -> tuple[Tensor, Tensor]:
        """Gated messages s (S, E), V (V, 3, E) from node features."""
        return self.message_layer_2.apart(*self.first_messages(h, edges, graph), edges.y)

    def first_messages(self, h: Tensor, edges: Edges, graph: CompleteGraph) -> tuple[Tensor, Tensor]:
        """The first message is linear in each end of an edge: matrices act on nodes, not on the more numerous edges."""
        product, S, m = self.message_layer_1, self.node.scalars, self.node.vectors
        s, V = self.node.separate(h)
        A, B = product.matrices()
        inward, outward = product.attributes(edges.y)
        A_st, A_ss, A_sa, A_Vt, A_Vs = A.split([S, S, 2, m, m], dim=1)
        B_st, B_ss, B_sa, B_Vt, B_Vs = B.split([S, S, 2, m, m], dim=1)
        a = graph.gather(torch.addmm(product.bias[:, None], A_st, s), A_ss @ s)
        b = graph.gather(B_st @ s, B_ss @ s)
        a, b = (torch.addmm(p, W, edges.additional) for p, W in ((a, A_sa), (b, B_sa)))
        V_a = graph.gather(channels(A_Vt, V), channels(A_Vs, V))
        V_b = graph.gather(channels(B_Vt, V), channels(B_Vs, V))
        return gated(a + Inner.apply(V_a, inward), Spread.apply(V_b, b, outward))

    def update_input(self, h: Tensor, s: Tensor, V: Tensor, graph: CompleteGraph) -> Tensor:
        """Node features followed by the sums of the messages: twice as long as h along the first axis."""
        return torch.cat([h, self.node.together(graph.total(s), graph.total(V)).view(h.shape)])

    def forward(self, h: Tensor, edges: Edges, y: Tensor, graph: CompleteGraph) -> Tensor:
        messages = self.compiled if self.compiled and self.training else self.messages
        u = self.update_input(h, *messages(h, edges, graph), graph)
        return h + self.update_layer_2(self.update_layer_1(u, y), y)


class SEGNN(nn.Module):
    """Predicts later positions of charged particles, E(3)-equivariantly (with center "none": O(3) about the origin)."""

    def __init__(self, config: SEGNNConfig):
        super().__init__()
        if not config.has_fast_products:
            raise ValueError(
                f"this network has scalars and vectors, not degrees up to 1 with multiplicities {config.hidden} and "
                f"attributes of degrees up to {config.attribute_lmax}: see models.segnn.steerable"
            )
        self.config = config
        node = self.node = Irreps(*config.hidden)
        self.graph = CompleteGraph(config.particles)
        self.embedding_layer = Product([Block(1, 2), Block(0, 1)], node, 1.0)
        self.layers = nn.ModuleList(MessageLayer(node) for _ in range(config.layers))
        self.pre_pool1 = GatedProduct([node], node, 1.0)
        self.pre_pool2 = Product([node], Irreps(0, 1), 1.0)

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
        """Attributes of edges, and y (3, B, n) of nodes: the mean over a node's edges plus its velocity's direction."""
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
        """The first node features."""
        first = self.embedding_layer.apart(*self.inputs(x, v), y.flatten(1))
        return self.node.together(*first).unflatten(-1, x.shape[:2])

    def places(self) -> list["Place"]:
        """The two products of every layer's update, which ES and ACE relax (spec segnn.md 4.1)."""
        layers = range(self.config.layers)
        return [place for i in layers for place in update_places(f"layers.{i}", self.node)]

    def _check(self, x: Tensor) -> None:
        if x.ndim != 3 or x.shape[1:] != (self.graph.n, 3):
            raise ValueError(
                f"SEGNN: positions must be (graphs, {self.graph.n}, 3), not {tuple(x.shape)}; build the network for "
                "as many particles as the data have"
            )


def update_places(layer: str, node: Irreps) -> list["Place"]:
    """The places of the MessageLayer of this name, in the memory layout of node features."""
    from twirl.relaxation.places import Place  # here, since the network itself does not need it
    from twirl.representations import IrrepsRep

    places = []
    for k, copies in ((1, 2), (2, 1)):
        inputs = (copies * node.shape[0], *node.shape[1:])
        if node.paired:  # the group acts on every channel in the same way
            acts_on_in = acts_on_out = IrrepsRep("1x0e + 1x1o")
        else:
            irreps = f"{node.scalars}x0e + {node.vectors}x1o"
            acts_on_in, acts_on_out = IrrepsRep(" + ".join([irreps] * copies)), IrrepsRep(irreps)
        axes = tuple(range(len(node.shape)))
        places.append(
            Place(f"{layer}.update_layer_{k}", acts_on_in, acts_on_out, inputs, node.shape, axes=axes)
        )
    return places


def _direction(r: Tensor, length: Tensor) -> Tensor:
    """Spherical harmonics of degree 1 of the direction of r (3, ...); zero for a zero vector."""
    return r * (Y1 / length.clamp_min(torch.finfo(r.dtype).tiny))
