"""The merged product of a place: beta f_eq(z) + alpha_W W z + alpha_b b + noise as one product (spec recm.md 7).

Its gradients are explicit. With autograd the steps from the parameters to the matrix would be some forty small
operations per place, and noise, bias and the layout of vector features would each need passes over data of the output's
size.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from twirl.relaxation.places import Place


@dataclass(frozen=True)
class Rule:
    """Everything that defines a product except its tensors: bounds as in `Terms` (None: none), generator of noise.

    >>> place = Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4)
    >>> Rule(place, B=1.0, always=False, bias_bound=None, generator=None).B
    1.0
    """

    place: Place
    B: float | None
    always: bool  # whether W is always divided by its norm, not only if that exceeds B
    bias_bound: float | None
    generator: torch.Generator | None


def merged(
    rule: Rule,
    z: Tensor | tuple[Tensor, ...],
    E: Tensor,
    W: Tensor,
    alpha_W: Tensor | float,
    beta: Tensor | float,
    uv: tuple[Tensor, Tensor] | None = None,
    bias: tuple[Tensor, Tensor | float] | None = None,
    noise: tuple[Tensor, Tensor | float] | None = None,
) -> Tensor:
    """(beta E + alpha_W W) z + alpha_b b + alpha_noise sigma eps in the layout of f_eq(z), with W and b bounded.

    z: features, or their parts (`Place.joined`). E: f_eq's matrix, (dim_out, dim_in), or (features_out[0],
    features_in[0]) where it maps the first feature axis alone. uv: left and right singular vectors of W.
    bias: b, alpha_b. noise: log sigma, alpha_noise.

    >>> rule = Rule(Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4), None, False, None, None)
    >>> E, W, z = torch.randn(4, 3), torch.randn(4, 3), torch.randn(5, 3)
    >>> torch.allclose(merged(rule, z, E, W, alpha_W=0.5, beta=2.0), z @ (2 * E + 0.5 * W).T, atol=1e-5)
    True
    """
    u, v = (None, None) if uv is None else uv
    b, alpha_b = (None, None) if bias is None else bias
    log_sigma, alpha_noise = (None, None) if noise is None else noise
    parts = z if isinstance(z, tuple) else (z,)
    return _Product.apply(rule, E, W, b, log_sigma, alpha_W, alpha_b, alpha_noise, beta, u, v, *parts)


def add_noise_(y: Tensor, scale: Tensor | float, generator: torch.Generator) -> Tensor:
    """Adds scale * eps, eps ~ N(0, I), to y in place; returns eps.

    >>> y = torch.zeros(3)
    >>> eps = add_noise_(y, 2.0, torch.Generator())
    >>> torch.equal(y, 2 * eps)
    True
    """
    eps = torch.empty_like(y).normal_(generator=generator)
    y.addcmul_(eps, scale) if isinstance(scale, Tensor) else y.add_(eps, alpha=scale)
    return eps


class Noise(torch.autograd.Function):
    """y + scale * eps.

    >>> Noise.apply(torch.ones(3), torch.tensor(0.0), torch.Generator())
    tensor([1., 1., 1.])
    """

    @staticmethod
    def forward(ctx: FunctionCtx, y: Tensor, scale: Tensor, generator: torch.Generator) -> Tensor:
        noisy = y.clone(memory_format=torch.contiguous_format)
        ctx.save_for_backward(add_noise_(noisy, scale.to(y), generator), scale)
        return noisy

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor) -> tuple[Tensor | None, ...]:
        eps, scale = ctx.saved_tensors
        return g, _dot(g, eps).to(scale), None


class _Layout:
    """The memory layout of a place's features in a tensor with `ndim` axes.

    order: order of the feature axes in memory; axes: their positions. planes: whether one of two feature axes precedes
    all rows and the other follows them; a product with all of a row's features is then a batch of products, one per
    plane.
    """

    def __init__(self, features_in: tuple, features_out: tuple, axes: tuple | None, ndim: int):
        k = self.k = len(features_in)
        where = range(ndim - k, ndim) if axes is None else [axis % ndim for axis in axes]
        self.order = sorted(range(k), key=lambda i: where[i])
        self.axes = tuple(where[i] for i in self.order)
        self.channel_axis = where[0]
        self.planes = k == 2 and self.axes == (0, ndim - 1)
        self.features_in, self.features_out = features_in, features_out
        self.out = [features_out[i] for i in self.order]
        self.last = tuple(range(-k, 0))
        at = [self.order.index(i) for i in range(k)]
        self.back_to_place = (*at, *(k + i for i in at))

    def rows(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        """(rows, features in memory order), and the shape of the rows."""
        x = x.movedim(self.axes, self.last)
        return x.reshape(x.shape[: -self.k].numel(), -1), x.shape[: -self.k]

    def back(self, x: Tensor, rows: torch.Size, features: list[int]) -> Tensor:
        """The inverse of `rows`."""
        return x.view(*rows, *features).movedim(self.last, self.axes)

    def features_of(self, x: Tensor) -> list[int]:
        return [x.shape[axis] for axis in self.axes]

    def natural(self, M: Tensor, x: Tensor) -> Tensor:
        """A matrix (dim_out, dim_in) in memory order, as (*features_out, *features_in) of the place."""
        return M.view(*self.out, *self.features_of(x)).permute(self.back_to_place)

    def lying(self, b: Tensor) -> Tensor:
        """A vector (dim_out,) of the place in memory order."""
        return b if self.k == 1 else b.view(self.features_out).permute(self.order).reshape(-1)

    def unlying(self, b: Tensor) -> Tensor:
        """The inverse of `lying`."""
        return b.view(self.out).permute(self.back_to_place[: self.k]).reshape(-1)

    def columns(self, W: Tensor, parts: tuple[Tensor, ...]) -> list[Tensor]:
        """W (dim_out, dim_in) as (*features_out, *features_in), split into the matrices that act on each part."""
        W = W.view(*self.features_out, *self.features_in)
        return [W] if len(parts) == 1 else W.split([x.shape[self.channel_axis] for x in parts], dim=self.k)


_known = lru_cache(_Layout)


def _layout(place: Place, ndim: int) -> _Layout:
    return _known(place.features_in, place.features_out, place.axes, ndim)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rule, E, W, b, log_sigma, alpha_W, alpha_b, alpha_noise, beta, u, v, *parts):
        lies = _layout(rule.place, parts[0].ndim)
        # Clones: the vectors change in place after the step, and DDP may write buffers during the forward pass.
        u, v = (None, None) if u is None else (u.clone(), v.clone())
        size = None if u is None else _over(u @ (W @ v), rule.B, rule.always)
        ctx.given = tuple(isinstance(s, Tensor) for s in (alpha_W, alpha_b, alpha_noise, beta))
        scalars = tuple(_number(s) for s in (alpha_W, alpha_b, alpha_noise, beta))
        tensors = (alpha_W, alpha_b, alpha_noise, beta)
        alpha_W, alpha_b, alpha_noise, beta = scalars
        all_rows, matrices, y = [], [], None
        for x, W_x, E_x in zip(parts, lies.columns(W, parts), _columns_of_f_eq(lies, E, parts), strict=True):
            M = W.new_empty(W.shape[0], W_x[(0,) * lies.k].numel())
            M_x = lies.natural(M, x)
            torch.div(W_x, size, out=M_x) if size is not None else M_x.copy_(W_x)
            M.mul_(alpha_W)
            if E_x.ndim == M_x.ndim:
                M_x.add_(beta * E_x)
            else:
                M_x.diagonal(dim1=1, dim2=3).add_((beta * E_x).unsqueeze(-1))
            rows, shape = lies.rows(x)
            bias = None
            if b is not None and x is parts[-1]:
                bias = lies.lying(
                    alpha_b
                    * (
                        b
                        if rule.bias_bound is None
                        else b / _over(torch.linalg.vector_norm(b), rule.bias_bound)
                    )
                )
            y_x = _apply(lies, rows, M, bias, shape)
            y = y_x if y is None else y.add_(y_x)
            all_rows.append(rows)
            matrices.append(M)
        eps = None
        if rule.generator is not None and log_sigma is not None:
            eps = add_noise_(y, alpha_noise * _exp(_number(log_sigma)), rule.generator)
        ctx.rule, ctx.n, ctx.scalars, ctx.size = rule, len(parts), scalars, size
        tensors = (s if given else None for s, given in zip(tensors, ctx.given, strict=True))
        ctx.save_for_backward(E, W, b, log_sigma, *tensors, u, v, eps, *parts, *all_rows, *matrices)
        return y

    @staticmethod
    def backward(ctx, g):
        E, W, b, log_sigma, *rest = ctx.saved_tensors
        tensors, (u, v, eps), rest = rest[:4], rest[4:7], rest[7:]
        n = ctx.n
        parts, all_rows, matrices = rest[:n], rest[n : 2 * n], rest[2 * n :]
        if torch.is_grad_enabled():
            scalars = [s if t is None else t for s, t in zip(ctx.scalars, tensors, strict=True)]
            return _differentiable(ctx, g, (E, W, b, log_sigma, *scalars), (u, v, eps), parts)
        rule, size, (alpha_W, alpha_b, alpha_noise, beta) = ctx.rule, ctx.size, ctx.scalars
        lies = _layout(rule.place, parts[0].ndim)
        g = g.contiguous()
        d_sigma = d_alpha_noise = None
        if eps is not None:
            d_alpha_noise = _dot(g, eps) * _exp(_number(log_sigma))
            d_sigma = d_alpha_noise * alpha_noise
        dW = torch.empty_like(W)
        d_parts: list[Tensor | None] = []
        pieces = zip(parts, all_rows, matrices, lies.columns(dW, parts), strict=True)
        for i, (x, rows, M, dW_x) in enumerate(pieces):
            g_x = g.sum_to_size([s if axis in lies.axes else x.shape[axis] for axis, s in enumerate(g.shape)])
            dM, dx = _transposed(lies, g_x, rows, M, ctx.needs_input_grad[11 + i])
            dW_x.copy_(lies.natural(dM, x))
            d_parts.append(None if dx is None else lies.back(dx, _row_shape(lies, x), lies.features_of(x)))
        db = d_alpha_b = None
        if b is not None:
            of_rows = (
                g_x.view(g_x.shape[0], -1, g_x.shape[-1]).sum(1) if lies.planes else lies.rows(g_x)[0].sum(0)
            )
            db = lies.unlying(of_rows)
            db, d_alpha_b = _through_bound(db, b, alpha_b, rule.bias_bound)
        if E.ndim == 2 and E.shape != W.shape:
            dE = (
                dW.view(E.shape[0], -1, E.shape[1], W.shape[1] // E.shape[1]).diagonal(dim1=1, dim2=3).sum(-1)
            )
        else:
            dE = dW.clone()
        d_beta = _dot(dE, E)
        dE.mul_(beta)
        d_alpha_W = _dot(dW, W)
        if size is None:
            dW.mul_(alpha_W)
        else:
            d_alpha_W = d_alpha_W / size
            dW.mul_(alpha_W / size)
            if _acts(size, rule.always):
                shrinks = d_alpha_W * (-alpha_W / (rule.B * size))
                # Where the bound is inactive, `size` is exactly 1 and does not depend on W.
                dW.addr_(u * (shrinks if rule.always else shrinks * (size > 1)), v)
        of_scalars = (d_alpha_W, d_alpha_b, d_alpha_noise, d_beta)
        of_scalars = (d if given else None for d, given in zip(of_scalars, ctx.given, strict=True))
        return None, dE, dW, db, d_sigma, *of_scalars, None, None, *d_parts


def _number(x: Tensor | float | None) -> Tensor | float | None:
    """A scalar as a Python number if reading it needs no synchronisation; arithmetic with it is then almost free."""
    return x.item() if isinstance(x, Tensor) and x.device.type == "cpu" else x


def _exp(x: Tensor | float) -> Tensor | float:
    return x.exp() if isinstance(x, Tensor) else math.exp(x)


def _over(norm: Tensor, B: float, always: bool = False) -> Tensor | float:
    """The divisor that makes a norm at most B (always: equal to B)."""
    size = _number(norm) / B
    if always:
        return size
    return size.clamp_min(1) if isinstance(size, Tensor) else max(size, 1.0)


def _acts(size: Tensor | float, always: bool = False) -> bool:
    """Whether a bound is active, or may be."""
    return always or isinstance(size, Tensor) or size > 1


def _columns_of_f_eq(lies: _Layout, E: Tensor, parts: tuple[Tensor, ...]) -> list[Tensor]:
    if E.shape == (math.prod(lies.features_out), math.prod(lies.features_in)):
        return lies.columns(E, parts)
    return [E] if len(parts) == 1 else E.split([x.shape[lies.channel_axis] for x in parts], dim=1)


def _apply(lies: _Layout, rows: Tensor, M: Tensor, bias: Tensor | None, shape: torch.Size) -> Tensor:
    """M rows + bias, contiguous in the layout of f_eq(z)."""
    if lies.planes:
        M = M.view(lies.out[0], -1, M.shape[1]).mT
        rows = rows.expand(len(M), *rows.shape)
        y = torch.bmm(rows, M) if bias is None else torch.baddbmm(bias.view(len(M), 1, -1), rows, M)
        return y.view(len(M), *shape, -1)
    y = rows @ M.mT if bias is None else torch.addmm(bias, rows, M.mT)
    return lies.back(y, shape, lies.out).contiguous()


def _transposed(
    lies: _Layout, g: Tensor, rows: Tensor, M: Tensor, needs_rows: bool
) -> tuple[Tensor, Tensor | None]:
    """Gradients of `_apply` with respect to M and, if requested, rows."""
    if not lies.planes:
        g, _ = lies.rows(g)
        return g.mT @ rows, g @ M if needs_rows else None
    planes = len(g)
    g = g.view(planes, -1, g.shape[-1])
    dM = torch.bmm(g.mT, rows.expand(planes, *rows.shape)).view_as(M)
    if not needs_rows:
        return dM, None
    M = M.view(planes, -1, M.shape[1])
    d_rows = g[0] @ M[0]
    for g_i, M_i in zip(g[1:], M[1:], strict=True):
        d_rows.addmm_(g_i, M_i)
    return dM, d_rows


def _row_shape(lies: _Layout, x: Tensor) -> list[int]:
    return [s for axis, s in enumerate(x.shape) if axis not in lies.axes]


def _through_bound(g: Tensor, b: Tensor, alpha: Tensor | float, B: float | None) -> tuple[Tensor, Tensor]:
    """Gradients with respect to b and alpha of alpha b / max(1, |b| / B), whose gradient is g."""
    along = _dot(g, b)
    if B is None:
        return alpha * g, along
    norm = _number(torch.linalg.vector_norm(b))
    size = _over(norm, B) if isinstance(norm, Tensor) else max(norm / B, 1.0)
    d_alpha = along / size
    g = g * (alpha / size)
    if _acts(size):
        tiny = torch.finfo(b.dtype).tiny
        g = g + b * (d_alpha * (-alpha / (B * size)) * (size > 1) / (norm + tiny))
    return g, d_alpha


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.reshape(-1), b.reshape(-1))


def _differentiable_over(norm: Tensor, B: float, always: bool = False) -> Tensor:
    return norm / B if always else (norm / B).clamp_min(1)


def _differentiable(ctx, g, inputs, constants, parts) -> tuple[Tensor | None, ...]:
    """The gradients by autograd, which are differentiable again."""
    rule, (E, W, b, log_sigma, alpha_W, alpha_b, alpha_noise, beta), (u, v, eps) = ctx.rule, inputs, constants
    place = rule.place
    M = W if u is None else W / _differentiable_over(u @ (W @ v), rule.B, rule.always)
    if E.shape != W.shape:
        E_full = torch.kron(E, torch.eye(W.shape[0] // E.shape[0], dtype=E.dtype, device=E.device))
    else:
        E_full = E
    bias = None
    if b is not None:
        B = rule.bias_bound
        bias = alpha_b * (b if B is None else b / _differentiable_over(torch.linalg.vector_norm(b), B))
    y = place.linear(place.joined(tuple(parts)), alpha_W * M + beta * E_full, bias)
    if eps is not None:
        y = y + alpha_noise * log_sigma.exp() * eps
    every = [None, *inputs, None, None, *parts]
    wanted = [i for i, needed in enumerate(ctx.needs_input_grad) if needed]
    found = torch.autograd.grad(y, [every[i] for i in wanted], g, create_graph=True, allow_unused=True)
    gradients: list[Tensor | None] = [None] * len(every)
    for i, gradient in zip(wanted, found, strict=True):
        gradients[i] = gradient
    return tuple(gradients)
