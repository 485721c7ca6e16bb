"""Steerable products of scalars and vectors: SEGNN's layers for degrees l <= 1 (spec segnn.md sections 3.2, 3.3, 11).

Scalars s (C, N) and vectors V (C, 3, N) have channels first and the N nodes or edges last. A map of channels is then
one matrix product without transposed copies, and an attribute y (3, N), one vector for every column, multiplies
contiguous rows. The features of nodes are one tensor: see `Irreps`.

The elementwise parts of the layers have explicit backward passes: they limit the speed of training, and
autograd would form three times as many tensors of the edges' size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# e3nn's normalisation: the activation of a standard normal number has second moment 1
SILU = 1.6791767923989418
SIGMOID = 1.8467055342154763


class Inner(torch.autograd.Function):
    """<V, y> per channel: V (C, 3, N), y (3, N) -> (C, N)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(V: Tensor, y: Tensor) -> Tensor:
        return inner(V, y[None])

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor | None]:
        V, y = ctx.saved_tensors
        g = g.unsqueeze(1)
        return g * y, (V * g).sum(0) if ctx.needs_input_grad[1] else None


class Spread(torch.autograd.Function):
    """V + a y: V (C, 3, N), a (C, N), y (3, N) -> (C, 3, N)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(V: Tensor, a: Tensor, y: Tensor) -> Tensor:
        return torch.addcmul(V, a.unsqueeze(1), y)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        a, y = ctx.saved_tensors
        return g, inner(g, y[None]), (g * a.unsqueeze(1)).sum(0) if ctx.needs_input_grad[2] else None


class Gate(torch.autograd.Function):
    """a (s + v, N), V (v, 3, N) -> SiLU of a's first s rows, V times the sigmoid of its last v, and that sigmoid."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, V: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, z = a.split([len(a) - len(V), len(V)])
        gate = z.sigmoid()
        return F.silu(x).mul_(SILU), V * (SIGMOID * gate).unsqueeze(1), gate

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.mark_non_differentiable(output[2])
        ctx.save_for_backward(*inputs, output[2])

    @staticmethod
    @once_differentiable
    def backward(ctx, of_s: Tensor, of_V: Tensor, _) -> tuple[Tensor, Tensor]:
        a, V, gate = ctx.saved_tensors
        of_x = torch.ops.aten.silu_backward(of_s, a[: len(a) - len(V)]).mul_(SILU)
        of_z = torch.ops.aten.sigmoid_backward(inner(of_V, V), gate).mul_(SIGMOID)
        return torch.cat([of_x, of_z]), of_V * (SIGMOID * gate).unsqueeze(1)


def gated(a: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
    """Scalars (s, N) and vectors (v, 3, N) of the Gate."""
    return Gate.apply(a, V)[:2]


def inner(V: Tensor, W: Tensor) -> Tensor:
    """Inner products of vectors along the second axis: (C, 3, N) twice -> (C, N)."""
    # Out of place: addcmul_ has no rule for vmap.
    return torch.addcmul(torch.addcmul(V[:, 0] * W[:, 0], V[:, 1], W[:, 1]), V[:, 2], W[:, 2])


class Block(NamedTuple):
    """Consecutive channels of an input in the official order: their degree, 0 (scalars) or 1 (vectors), and number."""

    degree: int
    channels: int


@dataclass(frozen=True)
class Irreps:
    """scalars x 0e + vectors x 1o, and the layout of features of these irreps in one tensor.

    Equal numbers m of scalars and vectors have the shape (m, 4, ...), one scalar and one vector per channel.
    Different numbers have the shape (scalars + 3 vectors, ...), all scalars before the vectors, which is the
    official order. Several features of the same irreps are concatenated along the first axis.
    """

    scalars: int
    vectors: int

    @property
    def dim(self) -> int:
        """Entries of one feature."""
        return self.scalars + 3 * self.vectors

    @property
    def paired(self) -> bool:
        """Whether every channel has a scalar and a vector."""
        return self.scalars == self.vectors

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one feature, without the axes of graphs and nodes."""
        return (self.scalars, 4) if self.paired else (self.dim,)

    @property
    def blocks(self) -> list[Block]:
        return [Block(0, self.scalars), Block(1, self.vectors)]

    def separate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars (S, N) and vectors (V, 3, N) of one or several features; all axes of nodes become one."""
        # The derivative of a split is one concatenation.
        if self.paired:
            s, V = z.flatten(2).split([1, 3], dim=1)
            return s.squeeze(1), V
        features = z.flatten(1).unflatten(0, (-1, self.dim))
        s, V = features.split([self.scalars, 3 * self.vectors], dim=1)
        return s.flatten(0, 1), V.unflatten(1, (-1, 3)).flatten(0, 1)

    def together(self, s: Tensor, V: Tensor) -> Tensor:
        """The feature of scalars (scalars, N) and vectors (vectors, 3, N)."""
        if self.paired:
            return torch.cat([s.unsqueeze(1), V], dim=1)
        return torch.cat([s, V.flatten(0, 1)])


class Product(nn.Module):
    """All Clebsch-Gordan products of features with an attribute (y0, y), mixed by learned weights:

        s' = y0 A_s s + A_V <V, y> / sqrt 3 + bias,    V' = (B_s s) y + y0 B_V V.

    inputs: the blocks of the features in the official order; here their scalars, and their vectors, are stacked
    in this order. out: irreps of the result. y0: the attribute's scalar, a constant. Parameters: [A_s, A_V]
    (scalars, fan_in), [B_s, B_V] (vectors, fan_in), bias (scalars,).
    """

    def __init__(self, inputs: Sequence[Irreps | Block], out: Irreps, y0: float):
        super().__init__()
        self.inputs, self.out, self.y0 = inputs, out, y0
        self.blocks = [b for i in inputs for b in (i.blocks if isinstance(i, Irreps) else [i])]
        self.sizes = [sum(b.channels for b in self.blocks if b.degree == degree) for degree in (0, 1)]
        fan_in = sum(self.sizes)
        scalars, vectors = self.mixed()
        self.to_scalars = nn.Parameter(torch.empty(scalars, fan_in)) if scalars else None
        self.to_vectors = nn.Parameter(torch.empty(vectors, fan_in))
        self.bias = nn.Parameter(torch.empty(scalars)) if scalars else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(fan_in**-0.5), fan_in**-0.5)

    def mixed(self) -> tuple[int, int]:
        """Numbers of scalars and vectors that the weights produce."""
        return self.out.scalars, self.out.vectors

    def matrices(self) -> tuple[Tensor, Tensor]:
        """y0 [A_s, A_V] and y0 [B_s, B_V], for use with `attributes`."""
        pair = self.to_scalars, self.to_vectors
        return pair if self.y0 == 1 else tuple(None if W is None else self.y0 * W for W in pair)

    def attributes(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """y / (sqrt 3 y0), which multiplies vectors, and y / y0, which multiplies scalars."""
        return y * (3**-0.5 / self.y0), y if self.y0 == 1 else y / self.y0

    def apart(self, s: Tensor, V: Tensor, y: Tensor) -> tuple[Tensor | None, Tensor]:
        """s (S, N), V (S', 3, N), y (3, N) -> (scalars, N), (vectors, 3, N)."""
        A, B = self.matrices()
        inward, outward = self.attributes(y)
        B_s, B_V = B.split(self.sizes, dim=1)
        out = Spread.apply(channels(B_V, V), B_s @ s, outward)
        if A is None:
            return None, out
        return torch.addmm(self.bias[:, None], A, torch.cat([s, Inner.apply(V, inward)])), out

    def features(self, z: Tensor, y: Tensor) -> tuple[Tensor | None, Tensor]:
        """`apart` for node features z, one or several of the first input's irreps, and attributes y (3, ...)."""
        return self.apart(*self.inputs[0].separate(z), y.flatten(1))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Node features z and their attributes y (3, ...) -> node features of the irreps `out`."""
        return self.out.together(*self.features(z, y)).unflatten(-1, y.shape[1:])


class GatedProduct(Product):
    """A Product with an additional scalar for every vector, followed by the Gate."""

    def mixed(self) -> tuple[int, int]:
        return self.out.scalars + self.out.vectors, self.out.vectors

    def apart(self, s: Tensor, V: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return gated(*super().apart(s, V, y))


def channels(W: Tensor, V: Tensor) -> Tensor:
    """Mixes the channels of vectors: W (C', C), V (C, 3, N) -> (C', 3, N)."""
    return (W @ V.flatten(1)).unflatten(1, (3, -1))
