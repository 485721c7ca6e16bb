"""Messages along edges (spec egno.md 3.6).

    a = terms of both nodes + Wx features,  m = act(W2 act(a) + b2),  c = w4 . act(W3 m + b3)

A receiver gets the sum of m; c is the coefficient of the displacement along the edge.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_silu_backward = torch.ops.aten.silu_backward
CACHED = 2**18  # approximate number of floats in a core's cache


class Graph:
    """Edges that all B graphs of a batch share, as index (2, E): receivers, senders, each below `nodes`.

    Sums over edges and gathering from nodes are products with these matrices, which need no scattered writes.
    pair (E, 2 N) adds the receiver's and the sender's terms, which are interleaved by node; total (N, E) sums over the
    edges into a node, mean (N, E) averages over them. `bags` holds the same as lists of rows.
    """

    def __init__(self, index: Tensor, nodes: int, like: Tensor):
        self.index, self.nodes = index, nodes
        self.receiver, self.sender = index
        edge = torch.arange(index.shape[1], device=index.device)
        pair = like.new_zeros(len(edge), nodes, 2)
        pair[edge, self.receiver, 0] = 1
        pair[edge, self.sender, 1] = 1
        self.total = pair[..., 0].mT.contiguous()
        self.mean = self.total / self.total.sum(1, keepdim=True).clamp_min(1)
        self.pair = pair.flatten(1)

    def differences(self, x: Tensor) -> Tensor:
        """x_i - x_j along every edge: (T, B, N, 3) -> (T, B, E, 3). Exact, whatever the precision of products."""
        return x.index_select(2, self.receiver) - x.index_select(2, self.sender)

    def bags(self, B: int) -> "Bags":
        """The Bags of B disjoint copies of the graph."""
        edges = self.index + self.nodes * torch.arange(B)[:, None, None]
        return Bags(edges.transpose(0, 1).flatten(1), B * self.nodes, B)


class Bags:
    """The matrices of a Graph as lists of the rows that each sum adds: (rows, start of each sum in rows).

    pair: rows of nodes, for every edge. of_pair: rows of edges, for each of the two rows of a node. total: rows of
    edges, for every node. of_total: rows of nodes, for every edge. graphs: number of graphs.
    """

    def __init__(self, index: Tensor, nodes: int, graphs: int):
        self.graphs = graphs
        receiver, sender = index
        rows = torch.stack([2 * receiver, 2 * sender + 1], dim=1).flatten()
        E = len(receiver)
        self.pair = rows, torch.arange(0, 2 * E, 2)
        self.of_pair = _inverted(rows, 2 * nodes, 2)
        self.total = _inverted(receiver, nodes, 1)
        self.of_total = receiver, torch.arange(E)


def _inverted(rows: Tensor, count: int, each: int) -> tuple[Tensor, Tensor]:
    """For every row below `count`: its positions in `rows`, divided by `each`."""
    sizes = torch.bincount(rows, minlength=count)
    return torch.argsort(rows, stable=True) // each, sizes.cumsum(0) - sizes


def _add_up(bags: tuple[Tensor, Tensor], values: Tensor) -> Tensor:
    return F.embedding_bag(bags[0], values, bags[1], mode="sum")


def messages(
    of_nodes: Tensor,
    features: Tensor,
    Wx: Tensor,
    W2: Tensor,
    b2: Tensor,
    W3: Tensor,
    b3: Tensor,
    w4: Tensor,
    graph: Graph,
    receive: bool,
    act: Callable[[Tensor], Tensor],
) -> tuple[Tensor | None, Tensor]:
    """Sums of m over the edges into a node (T, B, N, H), None unless `receive`, and c (T, B, E).

    of_nodes: (T, B, 2 N, I), each node's term as a receiver and as a sender. features: (T, B, E, A), of
    the edges.
    """
    T, B, E, _ = features.shape
    a = (features @ Wx.mT).flatten(0, 1)
    a = torch.baddbmm(a, graph.pair.expand(T * B, -1, -1), of_nodes.flatten(0, 1))
    m = act(F.linear(act(a), W2, b2))
    c = act(F.linear(m, W3, b3)) @ w4
    received = (graph.total.expand(T * B, -1, -1) @ m).unflatten(0, (T, B)) if receive else None
    return received, c.view(T, B, E)


class FrameByFrame(torch.autograd.Function):
    """`messages` with SiLU on a CPU, one frame after another, so that tensors of the edges' size stay in the cache.

    On a CPU, reading and writing such tensors takes as long as the products. It takes `bags`, for the graphs of one
    frame, instead of the graph.
    """

    @staticmethod
    def forward(ctx, of_nodes, features, Wx, W2, b2, W3, b3, w4, bags, receive):
        T, B, E, _ = features.shape
        H, N = len(b2), of_nodes.shape[2] // 2
        transposed = [W.mT.contiguous() for W in (Wx, W2, W3)]
        received = of_nodes.new_empty(T, B * N, H) if receive else None
        c = features.new_empty(T, B * E)
        kept = []
        for t in range(T):
            a1 = _add_up(bags.pair, of_nodes[t].flatten(0, 1)).addmm_(
                features[t].flatten(0, 1), transposed[0]
            )
            s1 = F.silu(a1)
            a2 = torch.mm(s1, transposed[1]).add_(b2)
            m = F.silu(a2)
            a3 = torch.mm(m, transposed[2]).add_(b3)
            s3 = F.silu(a3)
            torch.mv(s3, w4, out=c[t])
            if receive:
                received[t] = _add_up(bags.total, m)
            kept += [a1, s1, a2, m, a3, s3]
        ctx.bags = bags
        ctx.save_for_backward(features, Wx, W2, W3, w4, *kept)
        ctx.set_materialize_grads(False)
        return received.view(T, B, N, H) if receive else None, c.view(T, B, E)

    @staticmethod
    @once_differentiable
    def backward(ctx, g_received, g_c):
        if g_received is None and g_c is None:
            return (None,) * 10
        features, Wx, W2, W3, w4, *kept = ctx.saved_tensors
        T, B, E, A = features.shape
        bags = ctx.bags
        g_nodes, g_features = [], torch.empty_like(features)
        g_Wx, g_W2, g_W3, g_w4 = (torch.zeros_like(p) for p in (Wx, W2, W3, w4))
        g_b2, g_b3 = W2.new_zeros(len(W2)), W3.new_zeros(len(W3))
        for t in range(T):
            a1, s1, a2, m, a3, s3 = kept[6 * t : 6 * t + 6]
            g_m = None if g_received is None else _add_up(bags.of_total, g_received[t].flatten(0, 1))
            if g_c is not None:
                g = g_c[t].flatten()
                g_w4.addmv_(s3.mT, g)
                g3 = _silu_backward(torch.outer(g, w4), a3)
                g_W3.addmm_(g3.mT, m)
                g_b3 += g3.sum(0)
                g_m = torch.mm(g3, W3) if g_m is None else g_m.addmm_(g3, W3)
            g2 = _silu_backward(g_m, a2)
            g_W2.addmm_(g2.mT, s1)
            g_b2 += g2.sum(0)
            g1 = _silu_backward(torch.mm(g2, W2), a1)
            g_Wx.addmm_(g1.mT, features[t].flatten(0, 1))
            torch.mm(g1, Wx, out=g_features[t].view(B * E, A))
            g_nodes.append(_add_up(bags.of_pair, g1))
        g_nodes = torch.stack(g_nodes).unflatten(1, (B, -1))
        return g_nodes, g_features, g_Wx, g_W2, g_b2, g_W3, g_b3, g_w4, None, None
