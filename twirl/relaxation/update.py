"""RECM's update rule l_theta, the recursion of its state h_t, and the scalars from the state (paper B eq. 1-3)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twirl.groups import SO2, SO3, Group, about_axis
from twirl.relaxation.blocks import BlockDiagonal
from twirl.representations import Representation

GELU_LIPSCHITZ = 1.1290  # the largest slope of the exact GELU
_ANGLE = 1.5  # [radian], paper B appendix C


def constraint_set(group: Group | None = None, size: int = 2) -> Tensor:
    """C_G, elements that generate a dense subgroup (paper B lemma A.1 and appendix C; spec recm.md 3).

    SO(3) (None): rotations by 1.5 rad about x and z, for size > 2 also about y and then about fixed random
    axes. SO(2): one about its axis. Other groups: their generators.
    Errors: ValueError for a set without generators, such as AxisPreserving(), and for impossible sizes.

    >>> constraint_set().shape, constraint_set(size=4).shape, constraint_set(SO2("z")).shape
    (torch.Size([2, 3, 3]), torch.Size([4, 3, 3]), torch.Size([1, 3, 3]))
    """
    group = SO3() if group is None else group
    angle = torch.tensor([_ANGLE], dtype=torch.float64)
    if isinstance(group, SO3):
        if size < 2:
            raise ValueError(
                f"one rotation does not generate SO(3): its constraint set needs at least 2, not {size}."
            )
        named = torch.cat([about_axis(axis, angle) for axis in "xzy"])[:size]
        generator = torch.Generator().manual_seed(0)
        # Drawn one by one, so that a larger set begins with the smaller ones.
        drawn = [torch.randn(3, generator=generator, dtype=torch.float64) for _ in range(size - 3)]
        axes = torch.stack(drawn) if drawn else named.new_zeros(0, 3)
        return torch.cat([named, _about(F.normalize(axes, dim=-1), _ANGLE)])
    if isinstance(group, SO2):
        return about_axis(group.axis, angle)
    return group.generators()


def step_size(t: int, a: float, b: float = 1.0) -> float:
    """gamma_t = a / (b + a t), t = 1, 2, ... (paper B eq. 1).

    >>> step_size(1, a=1.0), step_size(3, a=1.0)
    (0.5, 0.25)
    """
    return a / (b + a * t)


def next_state(h: Tensor, l: Tensor, t: int, a: float, b: float = 1.0) -> Tensor:  # noqa: E741
    """h_t = (1 - gamma_t) h_{t-1} + gamma_t l_t (paper B eq. 1).

    In closed form (lemma 4.1) h_t = lambda_t h_0 + (1 - lambda_t) mean(l_1, ..., l_t), lambda_t = b / (b + a t).

    >>> h = torch.zeros(1)
    >>> for t in (1, 2, 3):
    ...     h = next_state(h, torch.tensor([float(t)]), t, a=1.0)
    >>> h  # 3/4 of the mean of 1, 2 and 3
    tensor([1.5000])
    """
    gamma = step_size(t, a, b)
    return (1 - gamma) * h + gamma * l


def unit_ball(w: Tensor) -> Tensor:
    """w / max(1, |w|) along the last axis.

    >>> unit_ball(torch.tensor([[3.0, 4.0], [0.5, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.5000, 0.0000]])
    """
    return w / w.norm(dim=-1, keepdim=True).clamp_min(1)


def modulation(w: Tensor, h: Tensor) -> Tensor:
    """alpha = s(w^T h), s = GELU: w (..., K, m), h (..., m) -> (..., K); |alpha| <= |h| (paper B eq. 2).

    >>> modulation(torch.randn(3, 16), torch.zeros(16))
    tensor([0., 0., 0.])
    """
    return F.gelu((unit_ball(w) @ h[..., None])[..., 0])


def update_rule(
    r: Callable[[Tensor], Tensor],
    z: Tensor,
    y: Tensor | None,
    elements: Tensor,
    acts_on_z: Representation,
    acts_on_y: Representation | None = None,
) -> Tensor:
    """l_theta, averaged over rows (paper B eq. 3), by its definition with rotated data, for small inputs.

        l = mean of r([z, y]) - 1/|C_G| sum over g in C_G of the mean of r([rho_in(g) z, rho_out(g) y])

    r: (..., features) -> (..., m). z: (rows, *features), y: (rows, *targets) or None; both are flattened for r.

    >>> z, v = torch.randn(10, 3, dtype=torch.float64), twirl.Vectors()
    >>> bool(update_rule(lambda z: z.norm(dim=-1, keepdim=True), z, None, constraint_set(), v).abs() < 1e-12)
    True
    """

    def joined(z, y):
        return z.flatten(-z.ndim + 2) if y is None else torch.cat([z.flatten(2), y.flatten(2)], dim=-1)

    here = r(joined(z[None], None if y is None else y[None])).mean((0, 1))
    turned = None if y is None else acts_on_y.act(elements, y[None])
    return here - r(joined(acts_on_z.act(elements, z[None]), turned)).mean((0, 1))


class UpdateRule(nn.Module):
    """r_theta and l_theta of all places: two layers of width `hidden` with a GELU between them (spec recm.md 3).

    The rows are rotated outside autograd, and the second layer, which is linear, is applied to means over rows.
    Its bias would cancel, so it has none.

    sources: for every stored input x = [z, y], the action of C_G on its parts (z, or z and y), and the number of
    places that read it; places are numbered in the order of their sources.
    bound: the largest spectral norm of either layer, or None.

    >>> from twirl.relaxation.blocks import matrices
    >>> rho = matrices(twirl.Vectors(), constraint_set(), (8, 3))
    >>> rule = UpdateRule([([rho], 1)], m=16, hidden=16, bound=None, like=torch.zeros(()))
    >>> rule([torch.randn(50, 24)]).shape  # 50 rows of 8 vectors
    torch.Size([1, 16])
    """

    def __init__(
        self,
        sources: list[tuple[list[BlockDiagonal], int]],
        m: int,
        hidden: int,
        bound: float | None,
        like: Tensor,
    ):
        super().__init__()
        options = {"dtype": like.dtype, "device": like.device}
        self.bound = bound
        self.dims = [sum(rho.dim for rho in parts) for parts, _ in sources]
        self.readers = [n for _, n in sources]
        places = sum(self.readers)

        def uniform(*shape, fan_in):
            return nn.Parameter(torch.empty(shape, **options).uniform_(-(fan_in**-0.5), fan_in**-0.5))

        sizes = list(zip(self.readers, self.dims, strict=True))
        self.W1 = nn.ParameterList(uniform(n, hidden, dim, fan_in=dim) for n, dim in sizes)
        self.b1 = nn.ParameterList(uniform(n, hidden, fan_in=dim) for n, dim in sizes)
        self.W2 = uniform(places, m, hidden, fan_in=hidden)
        # Not buffers: they follow from the declaration of the places, so DDP need not broadcast them.
        # Rows x transform as x rho^T, and rho^T = rho^-1.
        self._inverses = [[rho.transpose() for rho in parts] for parts, _ in sources]
        self._cast: tuple = (None, [])

    def forward(self, x: list[Tensor]) -> Tensor:
        """l (places, m) of the stored inputs x[s] = [z, y] (rows_s, dim_s)."""
        first, W2 = self._bounded()
        # Sources with the same number of rows are concatenated: one GELU and one mean for all of them.
        alike: dict[int, list[int]] = {}
        for s, rows in enumerate(x):
            alike.setdefault(len(rows), []).append(s)
        differences: list[Tensor] = [W2] * len(x)
        inverses = self._inverses_on(W2)
        for group in alike.values():
            hidden = [
                F.linear(_turned(x[s], inverses[s]), first[s].flatten(0, 1), self.b1[s].flatten())
                for s in group
            ]
            mean = F.gelu(torch.cat(hidden, dim=-1)).mean(1)  # (1 + |C_G|, hidden units)
            difference = (mean[0] - mean[1:].mean(0)).unflatten(-1, (-1, W2.shape[-1]))
            pieces = difference.split([self.readers[s] for s in group])
            for s, piece in zip(group, pieces, strict=True):
                differences[s] = piece
        return (W2 @ torch.cat(differences)[..., None])[..., 0]

    @torch.no_grad()
    def lipschitz(self) -> Tensor:
        """B (places,): an upper bound on the Lipschitz constant of r_theta, 1.129 |W1|_2 |W2|_2."""
        first, W2 = self._bounded()
        return GELU_LIPSCHITZ * torch.cat([_spectral_norm(W) for W in first]) * _spectral_norm(W2)

    def _bounded(self) -> tuple[list[Tensor], Tensor]:
        if self.bound is None:
            return list(self.W1), self.W2
        *first, W2 = (
            W / (_spectral_norm(W) / self.bound).clamp_min(1)[:, None, None] for W in (*self.W1, self.W2)
        )
        return first, W2

    def _inverses_on(self, like: Tensor) -> list[list[BlockDiagonal]]:
        """C_G in the dtype and on the device of `like`, from float64 on the CPU."""
        key = (like.device, like.dtype)
        if self._cast[0] != key:
            self._cast = key, [[rho.to(like) for rho in parts] for parts in self._inverses]
        return self._cast[1]


@torch.no_grad()
def _turned(x: Tensor, inverses: list[BlockDiagonal]) -> Tensor:
    """x (rows, dim) and its rows rotated by every element: (1 + |C_G|, rows, dim)."""
    every = x.new_empty(1 + len(inverses[0]), *x.shape)
    every[0] = x
    begin = 0
    for rho in inverses:
        part = slice(begin, begin + rho.dim)
        every[1:, :, part] = x[:, part] if rho.is_identity else rho.right(x[:, part])
        begin += rho.dim
    return every


def _spectral_norm(W: Tensor) -> Tensor:
    """(n,) largest singular values of flat matrices (n, few, many), from their small Gram matrices."""
    return torch.linalg.eigvalsh(W @ W.mT)[:, -1].clamp_min(0).sqrt()


def _about(axes: Tensor, angle: float) -> Tensor:
    """Rotations (n, 3, 3) by `angle` about unit vectors (n, 3), by Rodrigues' formula."""
    x, y, z = axes.unbind(-1)
    o = torch.zeros_like(x)
    K = torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).unflatten(-1, (3, 3))
    angle = torch.tensor(angle, dtype=axes.dtype)
    return torch.eye(3, dtype=axes.dtype) + angle.sin() * K + (1 - angle.cos()) * (K @ K)
