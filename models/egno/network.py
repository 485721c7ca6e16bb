"""EGNO: several future frames of a system of points, from one frame (spec egno.md section 3).

Read from top to bottom in order of execution. Shapes: T frames, B graphs of N nodes with the same E edges, H features;
inside, frames come first: (T, B, N, ...).
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.egno.layers import Displacement, GraphLayer, NodeMap, Nodes, TimeConv
from models.egno.messages import CACHED, Bags, Graph
from models.egno.settings import EGNOConfig
from twirl.representations import IrrepsRep, Scalars, Vectors

if TYPE_CHECKING:
    from twirl.relaxation.places import Place

SLOPE = 0.01  # slope of the leaky ReLU after temporal convolutions of features


def time_embedding(T: int, features: int) -> Tensor:
    """(T, features): sines, then cosines, of t times frequencies from 1 to 1/10000; a zero if `features` is odd.

    In single precision, as published.
    """
    half = features // 2
    frequency = torch.exp(-torch.arange(half) * (math.log(10000.0) / max(half - 1, 1)))
    angle = torch.arange(T)[:, None] * frequency
    return nn.functional.pad(torch.cat([angle.sin(), angle.cos()], dim=1), (0, features % 2))


class EGNO(nn.Module):
    """Predicts future positions, equivariantly under rotations, reflections, translations and permutations of nodes."""

    def __init__(self, config: EGNOConfig):
        super().__init__()
        self.config = c = config
        self.embedding = NodeMap(c.node_features + c.time_features, c.hidden)
        convolutions = c.layers if c.time_conv else 0
        self.time_convs = nn.ModuleList(
            TimeConv(c.hidden, c.frames, c.modes, c.hidden**-2, SLOPE) for _ in range(convolutions)
        )
        self.time_convs_x = nn.ModuleList(TimeConv(2, c.frames, c.modes, 0.1) for _ in range(convolutions))
        self.layers = nn.ModuleList(
            GraphLayer(c.hidden, c.edge_features, c.flat, c.norm, c.velocity) for _ in range(c.layers)
        )
        self.register_buffer("times", time_embedding(c.frames, c.time_features), persistent=False)

    def forward(
        self,
        x: Tensor,
        v: Tensor,
        h: Tensor,
        edges: Tensor,
        edge_attr: Tensor,
        centre: Tensor | None = None,
    ) -> Tensor:
        """Positions (B, T, N, 3) at T frames.

        x, v: (B, N, 3) of the input frame. h: (B, N, node_features), edge_attr: (B, E, edge_features), invariant.
        edges: (2, E) receivers and senders. centre: (B, 1 or N, 3), the mean of x without it. ValueError for tensors of
        other shapes.
        """
        x, _, _ = self.trajectory(x, v, h, edges, edge_attr, centre)
        return x.transpose(0, 1)

    def trajectory(
        self,
        x: Tensor,
        v: Tensor,
        h: Tensor,
        edges: Tensor,
        edge_attr: Tensor,
        centre: Tensor | None = None,
        features: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """x, v and h, frames first. features: whether to compute the last layer's h, on which x does not depend."""
        self._check(x, v, h, edges, edge_attr)
        T = self.config.frames
        centre = x.mean(1, keepdim=True) if centre is None else centre
        graph = Graph(edges, x.shape[1], x)
        bags = self._bags(graph, len(x)) if x.device.type == "cpu" else None
        x, v = x.expand(T, *x.shape), v.expand(T, *v.shape)
        h = self.embed(h, x - centre, v)
        for k, layer in enumerate(self.layers):
            vectors = torch.stack([x - centre, v], dim=-1)
            if self.config.time_conv:
                h = self.time_convs[k](h)
                vectors = self.time_convs_x[k](vectors)
                x, v = vectors[..., 0] + centre, vectors[..., 1]
            nodes = Nodes(h, vectors.mT.flatten(-2))
            last = k == len(self.layers) - 1 and not features
            x, h = layer(x, v, nodes, edge_attr, graph, bags, last)
        return x, v, h

    def _bags(self, graph: Graph, B: int) -> Bags:
        """The Bags of all frames together if they fit into the cache, otherwise of one frame."""
        T = self.config.frames
        small = T * B * graph.index.shape[1] * self.config.hidden <= CACHED
        return graph.bags(T * B if small else B)

    def embed(self, h: Tensor, x: Tensor, v: Tensor) -> Tensor:
        """Embeds node features and the number of the frame: (B, N, node_features) -> (T, B, N, H)."""
        T, B, N, _ = x.shape
        times = self.times.to(h)[:, None, None].expand(T, B, N, -1)
        invariant = torch.cat([h.expand(T, *h.shape), times], dim=-1)
        return Nodes(invariant, torch.cat([x, v], dim=-1)).through(self.embedding)

    def places(self) -> list["Place"]:
        """The layers that may be relaxed: every map that reads a node's features, and the displacement of a node.

        The unconstrained map of each reads the layer's own features and the node's centred position and velocity.
        Maps of messages read only invariants, which no symmetry constrains, so they are not places; nor are the last
        layer's maps to node features, on which positions do not depend.
        """
        from twirl.relaxation.places import Place  # here, since the network itself does not need it

        H, places = self.config.hidden, []
        unused = {id(self.layers[-1].update), id(self.layers[-1].readout)}
        for name, module in self.named_modules():
            if id(module) in unused:
                continue
            if isinstance(module, NodeMap):
                scalars = module.in_features
                places.append(
                    Place(
                        name,
                        IrrepsRep(f"{scalars}x0e + 2x1o"),
                        Scalars(),
                        scalars + NodeMap.VECTORS,
                        module.out_features,
                        bias=False,  # a constant added to invariants breaks no symmetry
                    )
                )
            elif isinstance(module, Displacement):
                places.append(Place(name, IrrepsRep(f"{H}x0e + 2x1o"), Vectors(), H + NodeMap.VECTORS, 3))
        return places

    def _check(self, x: Tensor, v: Tensor, h: Tensor, edges: Tensor, edge_attr: Tensor) -> None:
        c = self.config
        if x.ndim != 3 or x.shape[-1] != 3 or v.shape != x.shape:
            raise ValueError(
                f"EGNO: x and v must be (graphs, nodes, 3) alike, not {tuple(x.shape)} and {tuple(v.shape)}"
            )
        expected = {"h": (h, (*x.shape[:2], c.node_features))}
        expected["edge_attr"] = edge_attr, (len(x), edges.shape[1], c.edge_features)
        for name, (tensor, shape) in expected.items():
            if tuple(tensor.shape) != shape:
                raise ValueError(f"EGNO: {name} must be {shape}, not {tuple(tensor.shape)}")
