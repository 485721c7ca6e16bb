"""ES: alpha on a schedule, and a penalty on the equivariance error of the unconstrained map (spec relaxation.md 2).

Pertigkiozoglou et al. 2024, "Improving equivariant model training via constraint relaxation".
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from twirl.relaxation.blocks import BlockDiagonal, rotation_generators
from twirl.relaxation.layer import Modulation, Shared
from twirl.relaxation.method import Method
from twirl.relaxation.places import Place
from twirl.relaxation.terms import Terms

_SMALLEST_SUM = 1e-12  # keeps the gradient of sqrt finite at W = 0 (spec relaxation.md 2.3)


def schedule(epoch: int, epochs: int) -> float:
    """alpha(e): 0 in epoch 0, 1 in the middle, 2 / E in the last epoch (spec relaxation.md 2.2).

    >>> [schedule(epoch, 4) for epoch in range(4)]
    [0.0, 0.5, 1.0, 0.5]
    """
    half = epochs / 2
    return max(0.0, epoch / half if epoch <= half else 1 - (epoch - half) / half)


def lie_derivative(W: Tensor, A_in: Tensor, A_out: Tensor) -> Tensor:
    """C_a = W A_in,a - A_out,a W, which is zero for all generators if and only if W is equivariant.

    W: (dim_out, dim_in); A_in: (k, dim_in, dim_in), A_out: (k, dim_out, dim_out), or their BlockDiagonal forms.
    Returns (k, dim_out, dim_in).

    >>> A = rotation_generators(twirl.Vectors(), (3,)).dense()
    >>> W = torch.randn(3, 3, dtype=A.dtype)
    >>> bool(lie_derivative(W, A, A).norm() > 0), float(lie_derivative(torch.eye(3, dtype=A.dtype), A, A).norm())
    (True, 0.0)
    """
    left = A_in.right(W) if isinstance(A_in, BlockDiagonal) else W @ A_in
    right = A_out.left(W) if isinstance(A_out, BlockDiagonal) else A_out @ W
    return left - right


def lie_norm(
    W: Tensor, b: Tensor | None, A_in: Tensor | BlockDiagonal, A_out: Tensor | BlockDiagonal, z: Tensor
) -> tuple[Tensor, Tensor]:
    """(LD^2, N^2) of g(z) = W z + b, summed over the rows of z (rows, dim_in) and the generators a:

        LD^2 = sum |g(A_in,a z) - A_out,a g(z)|^2,   N^2 = sum |g(z)|^2.

    z gets no gradient. Both are quadratic forms of the maps' matrices in the second moments of the rows, so the
    backward passes do not need the rows.

    >>> A = rotation_generators(twirl.Vectors(), (3,)).dense()
    >>> LD2, N2 = lie_norm(torch.eye(3, dtype=A.dtype), None, A, A, torch.ones(5, 3, dtype=A.dtype))
    >>> float(LD2), float(N2)
    (0.0, 15.0)
    """
    z = z.detach()
    C, k = lie_derivative(W, A_in, A_out), len(A_in)
    maps = torch.cat([C, W[None]])
    if b is None:
        S = z.mT @ z
    else:
        # The constant part of g(A z) - A g(z) is b - A b.
        turned = A_out.left(b[:, None]) if isinstance(A_out, BlockDiagonal) else A_out @ b[:, None]
        maps = torch.cat([maps, torch.cat([b[None, :, None] - turned, b[None, :, None]])], dim=-1)
        z = torch.cat([z, z.new_ones(len(z), 1)], dim=-1)
        S = z.mT @ z
    sums = ((maps @ S) * maps).sum((1, 2)).clamp_min(0)
    return sums[:k].sum(), sums[k]


def lie_norm_of(
    g: Callable[[Tensor], Tensor], A_in: Tensor | BlockDiagonal, A_out: Tensor | BlockDiagonal, z: Tensor
) -> tuple[Tensor, Tensor]:
    """`lie_norm` for any map g on rows, computed row by row.

    >>> A = rotation_generators(twirl.Vectors(), (3,)).dense()
    >>> W, z = torch.randn(3, 3, dtype=A.dtype), torch.randn(5, 3, dtype=A.dtype)
    >>> torch.allclose(lie_norm_of(lambda z: z @ W.T, A, A, z)[0], lie_norm(W, None, A, A, z)[0])
    True
    """
    z = z.detach()
    y = g(z)
    A_in, A_out = (A if isinstance(A, Tensor) else A.dense() for A in (A_in, A_out))
    LD2 = sum((g(z @ a.mT) - y @ c.mT).square().sum() for a, c in zip(A_in, A_out, strict=True))
    return LD2, y.square().sum()


def scrambled(A: Tensor) -> Tensor:
    """The matrices that the published code uses by mistake instead of A (3, dim, dim), because of a wrong reshape.

    It concatenates z A_x^T | z A_y^T | z A_z^T along the features and reshapes the 3 dim columns to dim triples instead
    of three groups of dim: row j of its k-th matrix is row 3 j + k of the stack (spec relaxation.md 2.3).

    >>> A = rotation_generators(twirl.Vectors(), (3,)).dense()
    >>> scrambled(A).shape, torch.equal(scrambled(A), A)
    (torch.Size([3, 3, 3]), False)
    """
    return A.reshape(A.shape[-1], 3, -1).transpose(0, 1)


def penalty(sums: Iterable[tuple[Tensor, Tensor]], reg: float = 0.01) -> Tensor:
    """reg * (sqrt(sum of LD^2) + sqrt(sum of N^2)): one root over all places (spec relaxation.md 2.3).

    >>> penalty([(torch.tensor(4.0), torch.tensor(9.0))], reg=0.5)
    tensor(2.5000)
    """
    LD2, N2 = (torch.stack(terms).sum() for terms in zip(*sums, strict=True))
    return reg * ((LD2 + _SMALLEST_SUM).sqrt() + (N2 + _SMALLEST_SUM).sqrt())


class ES(Method):
    """alpha rises from 0 to 1 and falls again over `epochs`; evaluation uses f_eq only.

    epochs: E of the schedule; `set_epoch` sets the current epoch. reg: weight of the penalty (published: 0.01).
    init: initial W: a standard deviation (1e-4 for SEGNN) or "zero" (for VN-PointNet).
    bias: whether the unconstrained maps have a bias, where the place allows one. lie_derivative: "correct", or
    "upstream" for that of the published code. Where a map reads another map's input (the directions of vector
    neurons), the published code penalises the other map a second time instead.

    >>> from twirl.relaxation import ES, Place, relax
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4))
    >>> relaxed = relax(net, ES(epochs=4), [Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4)])
    >>> relaxed.set_epoch(1)
    >>> relaxed.alphas()
    {'0': {'W': 0.5, 'b': 0.5}}
    """

    name = "es"
    readout = "projected"

    def __init__(
        self,
        epochs: int,
        reg: float = 0.01,
        init: str | float = 1e-4,
        bias: bool = True,
        lie_derivative: str = "correct",
        norm_bound: str = "none",
    ):
        super().__init__()
        if epochs < 1:
            raise ValueError(f"ES needs the number of epochs of its schedule, at least 1, not {epochs}.")
        if lie_derivative not in ("correct", "upstream"):
            raise ValueError(f"lie_derivative must be 'correct' or 'upstream', not {lie_derivative!r}.")
        self.epochs, self.reg, self.init, self.bias = epochs, reg, init, bias
        self.variant, self.norm_bound = lie_derivative, norm_bound
        self.alpha = 0.0
        self._inputs: dict[int, Tensor] = {}
        self._generators: dict[tuple, tuple] = {}

    def make_terms(self, place: Place, like: Tensor) -> Terms:
        names = ("W", "b") if self.bias else ("W",)
        return Terms(place, names, bound=self.norm_bound, init=self.init, like=like)

    def set_epoch(self, epoch: int) -> None:
        self.alpha = schedule(epoch, self.epochs)

    def training_modulations(self, shared: Shared) -> list[Modulation]:
        self._inputs = {}
        if self.reg:
            shared.record, shared.recorded = self._record, frozenset(range(len(self.places)))
        return [m if self.alpha else Modulation() for m in self.settled()]

    def settled(self) -> list[Modulation]:
        return [Modulation(1.0, dict.fromkeys(terms.names, self.alpha)) for terms in self.all_terms]

    def extra_loss(self) -> Tensor:
        """The penalty on the inputs of the last forward pass in training; these inputs get no gradient."""
        if not self.reg:
            return super().extra_loss()
        loss = penalty(self.sums(), self.reg)
        self._inputs = {}
        return loss

    def sums(self) -> list[tuple[Tensor, Tensor]]:
        """(LD^2, N^2) of every place on the inputs of the last forward pass in training; see `lie_norm`."""
        if not self._inputs:
            raise ValueError("ES: extra_loss() needs a forward pass in training mode before it.")
        found = []
        for i, z in sorted(self._inputs.items()):
            penalised = self._penalised(i)
            terms, (A_in, A_out) = self.all_terms[penalised], self._generators_of(penalised, z)
            b = None if terms.b is None else terms.bias()
            found.append(lie_norm(terms.weight(), b, A_in, A_out, z))
        return found

    def get_extra_state(self) -> dict[str, float]:
        return {"alpha": self.alpha}

    def set_extra_state(self, state: dict[str, float]) -> None:
        self.alpha = state["alpha"]

    def _record(self, i: int, z: Tensor) -> None:
        # If a place runs more than once in a pass, all its rows count.
        z = self.places[i].flatten(self.places[i].joined(z).detach()).flatten(0, -2)
        self._inputs[i] = z if i not in self._inputs else torch.cat([self._inputs[i], z])

    def _penalised(self, i: int) -> int:
        """Index of the place whose map is penalised on the input of place i."""
        reads = self.places[i].reads
        if self.variant == "correct" or reads is None:
            return i
        return next(j for j, place in enumerate(self.places) if place.name == reads)

    def _generators_of(self, i: int, like: Tensor) -> tuple:
        """(A_in, A_out) of place i, computed on first use."""
        key = (i, like.device, like.dtype)
        if key not in self._generators:
            place = self.places[i]
            A = [
                rotation_generators(place.acts_on_in, place.features_in).to(like),
                rotation_generators(place.acts_on_out, place.features_out).to(like),
            ]
            self._generators[key] = tuple(
                A if self.variant == "correct" else (scrambled(a.dense()) for a in A)
            )
        return self._generators[key]
