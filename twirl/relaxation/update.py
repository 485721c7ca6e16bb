"""RECM's update rule l_theta, its state h_t, and the two functions between state and scalars (paper B eq. 1-3)."""

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
    """C_G, elements that generate a dense subgroup (paper B lemma A.1 and appendix C; recm.md section 3).

    SO(3) (None): rotations by 1.5 rad about x and z, for size > 2 also about y and then about fixed random
    axes. SO(2): one about its axis. Other groups: their generators.
    Errors: ValueError for a set without generators, such as AxisPreserving(), and for impossible sizes.
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
        # One by one, so that a larger set begins with the smaller ones.
        drawn = [torch.randn(3, generator=generator, dtype=torch.float64) for _ in range(size - 3)]
        axes = torch.stack(drawn) if drawn else named.new_zeros(0, 3)
        return torch.cat([named, _about(F.normalize(axes, dim=-1), _ANGLE)])
    if isinstance(group, SO2):
        return about_axis(group.axis, angle)
    return group.generators()


def step_size(t: int, a: float, b: float = 1.0) -> float:
    """gamma_t = a / (b + a t), t = 1, 2, ... (paper B eq. 1)."""
    return a / (b + a * t)


def next_state(h: Tensor, l: Tensor, t: int, a: float, b: float = 1.0) -> Tensor:  # noqa: E741
    """h_t = (1 - gamma_t) h_{t-1} + gamma_t l_t (paper B eq. 1).

    In closed form (lemma 4.1) h_t = lambda_t h_0 + (1 - lambda_t) mean(l_1, ..., l_t), lambda_t = b / (b + a t).
    """
    gamma = step_size(t, a, b)
    return (1 - gamma) * h + gamma * l


def unit_ball(w: Tensor) -> Tensor:
    """w / max(1, |w|) along the last axis."""
    return w / w.norm(dim=-1, keepdim=True).clamp_min(1)


def modulation(w: Tensor, h: Tensor) -> Tensor:
    """alpha = s(w^T h), s = GELU: w (..., K, m), h (..., m) -> (..., K); |alpha| <= |h| (paper B eq. 2)."""
    return F.gelu((unit_ball(w) @ h[..., None])[..., 0])


def update_rule(
    r: Callable[[Tensor], Tensor],
    z: Tensor,
    y: Tensor | None,
    elements: Tensor,
    acts_on_z: Representation,
    acts_on_y: Representation | None = None,
) -> Tensor:
    """l_theta, averaged over rows (paper B eq. 3), from rotated data: the definition, for small things.

        l = mean of r([z, y]) - 1/|C_G| sum over g in C_G of the mean of r([rho_in(g) z, rho_out(g) y])

    r: (..., features) -> (..., m). z: (rows, *features), y: (rows, *targets) or None; both are flattened for r.
    """

    def joined(z, y):
        return z.flatten(-z.ndim + 2) if y is None else torch.cat([z.flatten(2), y.flatten(2)], dim=-1)

    here = r(joined(z[None], None if y is None else y[None])).mean((0, 1))
    turned = None if y is None else acts_on_y.act(elements, y[None])
    return here - r(joined(acts_on_z.act(elements, z[None]), turned)).mean((0, 1))


class UpdateRule(nn.Module):
    """r_theta of all places and l_theta of all of them at once: two layers, hidden width 16, GELU (recm.md section 3).

    Rotated are the weights, not the data, since r(rho z) has the first layer W1 rho; and the second layer,
    being linear, is applied to means over rows. Its bias would cancel and does not exist.

    sources: for every stored input, rho_in of C_G on it and the number of places that read it; places are
    numbered in the order of their sources. rho_y: C_G on the flattened targets (None: r sees no target).
    bound: the largest spectral norm of either layer, or None.
    """

    def __init__(
        self,
        sources: list[tuple[BlockDiagonal, int]],
        rho_y: BlockDiagonal | None,
        m: int,
        hidden: int,
        bound: float | None,
        like: Tensor,
    ):
        super().__init__()
        places = sum(readers for _, readers in sources)
        dim_y = 0 if rho_y is None else rho_y.dim
        options = {"dtype": like.dtype, "device": like.device}
        self.bound = bound
        self.W1 = nn.ParameterList(torch.empty(n, hidden, rho.dim, **options) for rho, n in sources)
        self.V1 = nn.Parameter(torch.empty(places, hidden, dim_y, **options)) if dim_y else None
        self.b1 = nn.Parameter(torch.empty(places, hidden, **options))
        self.W2 = nn.Parameter(torch.empty(places, m, hidden, **options))
        self.source_of = [s for s, (_, n) in enumerate(sources) for _ in range(n)]
        for s, W1 in enumerate(self.W1):
            nn.init.uniform_(W1, -1, 1)
            W1.data *= (sources[s][0].dim + dim_y) ** -0.5
        fan_in = torch.tensor([sources[s][0].dim + dim_y for s in self.source_of], **options)
        for p in (self.V1, self.b1):
            if p is not None:
                nn.init.uniform_(p, -1, 1)
                p.data *= fan_in.view(-1, *[1] * (p.ndim - 1)).rsqrt()
        nn.init.uniform_(self.W2, -(hidden**-0.5), hidden**-0.5)
        # Not buffers: they follow from the declaration of the places, and DDP need not send them around.
        self._rho = [rho for rho, _ in sources], rho_y
        self._cast = None, None

    def forward(self, z: list[Tensor], y: list[Tensor] | None, counts: Tensor) -> Tensor:
        """l (places, m) of stored inputs: z[s] (n, dim_s) and y[s] (n, dim_y), of which counts[s] rows are filled."""
        W1, V1, W2 = self._bounded()
        rho_in, rho_y = self._on(W1[0])
        before = []
        for z_s, W, rho in zip(z, W1, rho_in, strict=True):
            turned = torch.cat([W[None], rho.right(W)])  # (1 + |C_G|, readers, hidden, dim)
            before.append((z_s @ turned.flatten(0, 2).mT).unflatten(-1, turned.shape[:3]))
        x = torch.cat(before, dim=2) + self.b1  # (n, 1 + |C_G|, places, hidden)
        if V1 is not None:
            turned = torch.cat([V1[None], rho_y.right(V1)])
            x = x + torch.einsum("pnd,cphd->ncph", torch.stack([y[s] for s in self.source_of]), turned)
        filled = torch.arange(len(x), device=x.device)[:, None] < counts
        share = (filled / counts.clamp_min(1)).to(x)[:, self.source_of]
        mean = torch.einsum("ncph,np->cph", F.gelu(x), share)
        return torch.einsum("pmh,ph->pm", W2, mean[0] - mean[1:].mean(0))

    @torch.no_grad()
    def lipschitz(self) -> Tensor:
        """B (places,): an upper bound on the Lipschitz constant of r_theta, 1.129 |W1|_2 |W2|_2."""
        first, second = self._norms()
        if self.bound is not None:
            first, second = first.clamp_max(self.bound), second.clamp_max(self.bound)
        return GELU_LIPSCHITZ * first * second

    def _bounded(self) -> tuple[list[Tensor], Tensor | None, Tensor]:
        if self.bound is None:
            return list(self.W1), self.V1, self.W2
        first, second = ((norm / self.bound).clamp_min(1)[:, None, None] for norm in self._norms())
        parts = first.split([len(W) for W in self.W1])
        W1 = [W / part for W, part in zip(self.W1, parts, strict=True)]
        return W1, None if self.V1 is None else self.V1 / first, self.W2 / second

    def _norms(self) -> tuple[Tensor, Tensor]:
        """Spectral norms of [W1 | V1] and W2, (places,) each, from the small Gram matrices."""
        gram = torch.cat([W @ W.mT for W in self.W1])
        if self.V1 is not None:
            gram = gram + self.V1 @ self.V1.mT
        return tuple(
            torch.linalg.eigvalsh(G)[:, -1].clamp_min(0).sqrt() for G in (gram, self.W2 @ self.W2.mT)
        )

    def _on(self, like: Tensor) -> tuple[list[BlockDiagonal], BlockDiagonal | None]:
        """C_G in the dtype and on the device of `like`, from float64 on the CPU."""
        key = (like.device, like.dtype)
        if self._cast[0] != key:
            rho_in, rho_y = self._rho
            self._cast = key, ([rho.to(like) for rho in rho_in], None if rho_y is None else rho_y.to(like))
        return self._cast[1]


def _about(axes: Tensor, angle: float) -> Tensor:
    """Rotations (n, 3, 3) by `angle` about unit vectors (n, 3), by Rodrigues' formula."""
    x, y, z = axes.unbind(-1)
    o = torch.zeros_like(x)
    K = torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).unflatten(-1, (3, 3))
    angle = torch.tensor(angle, dtype=axes.dtype)
    return torch.eye(3, dtype=axes.dtype) + angle.sin() * K + (1 - angle.cos()) * (K @ K)
