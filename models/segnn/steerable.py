"""SEGNN with e3nn's tensor products, edge by edge: for degrees above 1, and as reference for the fast network.

The formulas of spec segnn.md section 3 in general irreps, in e3nn's order of features. Parameters and their names are
the official ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from e3nn import o3
from torch import Tensor, nn

from models.segnn.products import SIGMOID, SILU
from models.segnn.settings import SEGNNConfig

if TYPE_CHECKING:
    from twirl.relaxation.places import Place


class SteerableProduct(nn.Module):
    """All Clebsch-Gordan products of two features (N, in1), (N, in2), mixed by learned weights -> (N, out).

    Scalars get a bias. W and the biases of an output block start uniform in +-1/sqrt(fan_in), as in a dense layer.
    """

    def __init__(self, irreps1: o3.Irreps, irreps2: o3.Irreps, irreps_out: o3.Irreps):
        super().__init__()
        self.tp = o3.FullyConnectedTensorProduct(irreps1, irreps2, irreps_out)
        paths = [i for i in self.tp.instructions if i.has_weight]
        fan_in = [
            sum(p.path_shape[0] * p.path_shape[1] for p in paths if p.i_out == k)
            for k in range(len(irreps_out))
        ]
        bounds = [fan_in[p.i_out] ** -0.5 * torch.ones(p.path_shape).flatten() for p in paths]
        with torch.no_grad():
            self.tp.weight.uniform_(-1, 1).mul_(torch.cat(bounds))
        # Undoes e3nn's normalisation of paths, which this initialisation replaces.
        undo = [n * torch.ones(block.dim) for n, block in zip(fan_in, irreps_out, strict=True)]
        self.register_buffer("fan_in", torch.cat(undo), persistent=False)
        scalars = [(n, block.mul) for n, block in zip(fan_in, irreps_out, strict=True) if block.ir.l == 0]
        self.biases = None
        if scalars:
            self.biases = nn.Parameter(torch.cat([(2 * torch.rand(mul) - 1) * n**-0.5 for n, mul in scalars]))

    def forward(self, z: Tensor, attributes: Tensor) -> Tensor:
        out = self.tp(z, attributes) * self.fan_in.sqrt()
        # Scalars come first in all of SEGNN's features.
        return out if self.biases is None else out + F.pad(self.biases, (0, out.shape[-1] - len(self.biases)))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SteerableProduct":
        """Moves and casts; e3nn's constants, made in single precision, are recomputed in the new precision."""
        super()._apply(fn, recurse)
        for name, constant in self.tp.named_buffers():
            if "_w3j_" in name:
                degrees = (int(l) for l in name.split("_")[-3:])  # noqa: E741
                constant.copy_(o3.wigner_3j(*degrees, dtype=torch.float64))
        return self


class GatedSteerableProduct(SteerableProduct):
    """A product to `target` with an additional scalar for every feature of a higher degree, which gates it."""

    def __init__(self, irreps1: o3.Irreps, irreps2: o3.Irreps, target: o3.Irreps):
        scalars = sum(block.mul for block in target if block.ir.l == 0)
        higher = [block for block in target if block.ir.l > 0]
        gates = sum(block.mul for block in higher)
        super().__init__(irreps1, irreps2, o3.Irreps([(scalars + gates, "0e"), *higher]))
        self.scalars, self.gates, self.higher = scalars, gates, higher

    def forward(self, z: Tensor, attributes: Tensor) -> Tensor:
        out = super().forward(z, attributes)
        if not self.higher:  # published: where there are only scalars, their activation is not normalised
            return F.silu(out)
        sizes = [self.scalars, self.gates, *(block.dim for block in self.higher)]
        s, g, *rest = out.split(sizes, dim=-1)
        gates = (SIGMOID * g.sigmoid()).split([block.mul for block in self.higher], dim=-1)
        gated = [
            (V.unflatten(-1, (block.mul, -1)) * gate.unsqueeze(-1)).flatten(-2)
            for V, gate, block in zip(rest, gates, self.higher, strict=True)
        ]
        return torch.cat([SILU * F.silu(s), *gated], dim=-1)


class SteerableLayer(nn.Module):
    """Messages along a list of edges, and the update of the nodes by their sums."""

    def __init__(self, hidden: o3.Irreps, attributes: o3.Irreps):
        super().__init__()
        self.message_layer_1 = GatedSteerableProduct(hidden + hidden + o3.Irreps("2x0e"), attributes, hidden)
        self.message_layer_2 = GatedSteerableProduct(hidden, attributes, hidden)
        self.update_layer_1 = GatedSteerableProduct(hidden + hidden, attributes, hidden)
        self.update_layer_2 = SteerableProduct(hidden, attributes, hidden)

    def update_input(self, h: Tensor, graph: "EdgeList") -> Tensor:
        """Node features before the sums of the messages: (N, dim) -> (N, 2 dim)."""
        m = self.message_layer_1(
            torch.cat([h[graph.target], h[graph.source], graph.additional], dim=-1), graph.of_edges
        )
        m = self.message_layer_2(m, graph.of_edges)
        return torch.cat([h, torch.zeros_like(h).index_add(0, graph.target, m)], dim=-1)

    def forward(self, h: Tensor, graph: "EdgeList") -> Tensor:
        u = self.update_layer_1(self.update_input(h, graph), graph.of_nodes)
        return h + self.update_layer_2(u, graph.of_nodes)


@dataclass(frozen=True)
class EdgeList:
    """target, source: (E,) nodes. of_edges (E, a), of_nodes (N, a): attributes. additional: (E, 2)."""

    target: Tensor
    source: Tensor
    of_edges: Tensor
    of_nodes: Tensor
    additional: Tensor


class SteerableSEGNN(nn.Module):
    """SEGNN of any degree, called like the fast one."""

    def __init__(self, config: SEGNNConfig):
        super().__init__()
        self.config = config
        self.hidden = irreps(config.hidden)
        self.attribute_irreps = irreps([1] * (config.attribute_lmax + 1))
        hidden, attributes = self.hidden, self.attribute_irreps
        pairs = torch.cartesian_prod(torch.arange(config.particles), torch.arange(config.particles))
        self.register_buffer("pairs", pairs[pairs[:, 0] != pairs[:, 1]].mT.contiguous(), persistent=False)
        self.embedding_layer = SteerableProduct(o3.Irreps("2x1o + 1x0e"), attributes, hidden)
        self.layers = nn.ModuleList(SteerableLayer(hidden, attributes) for _ in range(config.layers))
        self.pre_pool1 = GatedSteerableProduct(hidden, attributes, hidden)
        self.pre_pool2 = SteerableProduct(hidden, attributes, o3.Irreps("1x1o"))

    def forward(self, x: Tensor, v: Tensor, charges: Tensor) -> Tensor:
        """x, v (B, n, 3) and charges (B, n) -> positions (B, n, 3)."""
        graph = self.attributes(x, v, charges)
        h = self.embedding_layer(self.inputs(x, v), graph.of_nodes)
        for layer in self.layers:
            h = layer(h, graph)
        return x + self.pre_pool2(self.pre_pool1(h, graph.of_nodes), graph.of_nodes).view_as(x)

    def attributes(self, x: Tensor, v: Tensor, charges: Tensor) -> EdgeList:
        """All edges of all graphs, sorted by target, and their inputs."""
        B, n, _ = x.shape
        target, source = (
            (n * torch.arange(B, device=x.device)[:, None] + ends).flatten() for ends in self.pairs
        )
        x_, v_, q = x.reshape(-1, 3), v.reshape(-1, 3), charges.flatten()
        relative = x_[source] - x_[target]
        of_edges = self._harmonics(relative)
        of_nodes = of_edges.view(B * n, n - 1, -1).mean(1) + self._harmonics(v_)
        of_nodes = torch.cat([torch.ones_like(of_nodes[:, :1]), of_nodes[:, 1:]], dim=-1)
        additional = torch.stack([relative.norm(dim=-1), q[source] * q[target]], dim=-1)
        return EdgeList(target, source, of_edges, of_nodes, additional)

    def inputs(self, x: Tensor, v: Tensor) -> Tensor:
        """Centred x, v and |v|: (B n, 7)."""
        kind = self.config.center
        if kind != "none":
            x = x - x.mean(1 if kind == "graph_mean" else -1, keepdim=True)
        v = v.reshape(-1, 3)
        return torch.cat([x.reshape(-1, 3), v, v.norm(dim=-1, keepdim=True)], dim=-1)

    def places(self) -> list["Place"]:
        """As SEGNN.places, on features in e3nn's order."""
        return [
            place for i in range(self.config.layers) for place in update_places(f"layers.{i}", self.hidden)
        ]

    def _harmonics(self, r: Tensor) -> Tensor:
        return o3.spherical_harmonics(self.attribute_irreps, r, normalize=True, normalization="integral")


def irreps(multiplicities: Sequence[int]) -> o3.Irreps:
    """Irreps with these numbers of features of degree 0, 1, ..., each with the parity of its spherical harmonics."""
    return o3.Irreps([(n, (l, (-1) ** l)) for l, n in enumerate(multiplicities) if n])  # noqa: E741


def update_places(layer: str, hidden: o3.Irreps) -> list["Place"]:
    """The two places of the SteerableLayer of this name."""
    from twirl.relaxation.places import Place  # here, since the network itself does not need it
    from twirl.representations import IrrepsRep

    out = IrrepsRep(hidden)
    return [
        Place(f"{layer}.update_layer_{k}", rep, out, rep.dim, out.dim)
        for k, rep in ((1, IrrepsRep(hidden + hidden)), (2, out))
    ]
