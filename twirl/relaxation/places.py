"""`Place`: the declaration of one learnable equivariant layer that may be relaxed.

A backbone lists its places and depends on nothing else of relaxation; this module depends on no method.
"""

import inspect
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twirl.relaxation.blocks import BlockDiagonal, matrices
from twirl.representations import Representation

_TOLERANCE = 1e-3  # relative error of a float32 layer's output


@dataclass(frozen=True)
class Place:
    """One equivariant layer f_eq of a backbone: rho_out(g) f_eq(z) = f_eq(rho_in(g) z) (spec recm.md 4).

    name: the layer's module path in the backbone, "trunk.conv1.feat". Its first argument is z.
    acts_on_in, acts_on_out: how the group acts on one row's features (a point's, a node's).
    features_in, features_out: the shape of one row's features, (channels, 3) with Vectors(), or their number
    with IrrepsRep. An unconstrained map sees them flattened in this order.
    axes: which axes of z, and of f_eq(z), these are, such as (1, 2) for (batch, channels, 3, points); None:
    the last ones. All other axes list rows.
    bias: whether an unconstrained term may add a constant (False where a constant has no meaning).
    reads: the name of an earlier place that reads the same z, so that their common input is stored once.

    A relaxed layer has an attribute `acts_as`: the plain layer that it currently equals, or None. A backbone with
    optimised formulations for plain layers may use it.

    A layer whose only input is z, and which is a matrix product, may offer `matrix() -> (dim_out, dim_in)`,
    its dense form on flattened features; it is then relaxed within one product instead of two. If it acts only on the
    first of two feature axes, it may also offer `channel_matrix() -> (features_out[0], features_in[0])`.

    A layer with `takes_parts` set also accepts a tuple for z: parts of the features, concatenated along the
    first feature axis; later parts have size 1 on any row axis along which they do not change.

    >>> v = twirl.Vectors()
    >>> place = Place("0", v, v, features_in=(8, 3), features_out=(4, 3))  # 8 vector channels to 4
    >>> place.dim_in, place.dim_out
    (24, 12)
    """

    name: str
    acts_on_in: Representation
    acts_on_out: Representation
    features_in: int | tuple[int, ...]
    features_out: int | tuple[int, ...]
    axes: tuple[int, ...] | None = None
    bias: bool = True
    reads: str | None = None

    def __post_init__(self):
        for side in ("features_in", "features_out"):
            shape = getattr(self, side)
            object.__setattr__(self, side, (shape,) if isinstance(shape, int) else tuple(shape))
        axes = len(self.features_in) if self.axes is None else len(self.axes)
        if not axes == len(self.features_in) == len(self.features_out):
            raise ValueError(
                f"place {self.name!r}: features_in {self.features_in}, features_out {self.features_out} and "
                f"axes {self.axes} must have the same length."
            )

    @property
    def dim_in(self) -> int:
        return prod(self.features_in)

    @property
    def dim_out(self) -> int:
        return prod(self.features_out)

    def flatten(self, z: Tensor) -> Tensor:
        """z as (..., dim_in), rows first."""
        return self._flatten(z, self.features_in, "input")

    def flatten_out(self, y: Tensor) -> Tensor:
        """f_eq(z) as (..., dim_out)."""
        return self._flatten(y, self.features_out, "output")

    def unflatten(self, y: Tensor) -> Tensor:
        """(..., dim_out) in the layout of f_eq(z)."""
        y = y.unflatten(-1, self.features_out)
        return y if self.axes is None else y.movedim(self._last(), self.axes)

    def rows(self, z: Tensor) -> Tensor:
        """z as (..., *features_in), rows first; a view."""
        return self._features_last(z, self.features_in, "input")

    def joined(self, z: Tensor | tuple[Tensor, ...]) -> Tensor:
        """z as one tensor, also if it comes in parts."""
        if not isinstance(z, tuple):
            return z
        axis = self._channel_axis(z[0])
        sizes = [-1 if a == axis else size for a, size in enumerate(z[0].shape)]
        return torch.cat([part.expand(sizes) for part in z], dim=axis)

    def row_shape(self, z: Tensor | tuple[Tensor, ...]) -> torch.Size:
        """The row axes of z. Errors: ValueError for z with other features."""
        if isinstance(z, tuple):
            shape = list(z[0].shape)
            shape[self._channel_axis(z[0])] = sum(part.shape[self._channel_axis(part)] for part in z)
            z = torch.empty(shape, device="meta")
        return self.rows(z).shape[: -len(self.features_in)]

    def some_rows(self, z: Tensor | tuple[Tensor, ...], index: Tensor) -> Tensor:
        """The rows `index` of the flattened row axes of z: (len(index), dim_in)."""
        k = len(self.features_in)
        if not isinstance(z, tuple):
            return self.rows(z).flatten(0, -k - 1)[index].flatten(1)
        at = torch.unravel_index(index, self.row_shape(z))
        parts = [part if self.axes is None else part.movedim(self.axes, self._last()) for part in z]
        found = [part[tuple(i % size for i, size in zip(at, part.shape, strict=False))] for part in parts]
        return torch.cat(found, dim=1).flatten(1)

    def spread(self, b: Tensor, ndim: int) -> Tensor:
        """A vector (dim_out,), reshaped to be added to an f_eq(z) with `ndim` axes."""
        return self.unflatten(b.view(*[1] * (ndim - len(self.features_out)), -1))

    def linear(self, z: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
        """W z + b in the layout of f_eq(z): W (dim_out, dim_in), b (dim_out,).

        If memory has the features in another order, the matrix is permuted, not the data.
        """
        if self.axes is None:
            return self.unflatten(F.linear(self.flatten(z), W, b))
        k = len(self.axes)
        order = sorted(range(k), key=lambda i: self.axes[i] % z.ndim)  # the order of the features in memory
        axes = tuple(self.axes[i] for i in order)
        lies = [self.features_out[i] for i in order]
        W = W.view(*self.features_out, *self.features_in).permute(*order, *(k + i for i in order))
        b = None if b is None else b.view(self.features_out).permute(order).reshape(-1)
        rows = z.movedim(axes, self._last()).flatten(-k)
        y = F.linear(rows, W.reshape(self.dim_out, self.dim_in), b)
        return y.unflatten(-1, lies).movedim(self._last(), axes).contiguous()

    def rho_in(self, g: Tensor) -> BlockDiagonal:
        """rho_in(g): g (k, ...) -> k matrices (dim_in, dim_in), float64."""
        return self._matrices(self.acts_on_in, g, self.features_in, "acts_on_in")

    def rho_out(self, g: Tensor) -> BlockDiagonal:
        """rho_out(g): g (k, ...) -> k matrices (dim_out, dim_out), float64."""
        return self._matrices(self.acts_on_out, g, self.features_out, "acts_on_out")

    def check(self, layer: nn.Module, g: Tensor) -> None:
        """ValueError unless `layer` has the declared input and output and is equivariant under g (k, ...).

        The check is numerical, on random features; a layer with more inputs than z is checked for shapes when it runs.
        """
        parameters = inspect.signature(layer.forward).parameters.values()
        required = [
            p
            for p in parameters
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        if len(required) > 1:
            return
        like = next(iter(layer.parameters()), torch.zeros(()))
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(4, self.dim_in, generator=generator, dtype=torch.float64)
        z = torch.cat([z[None], self.rho_in(g).left(z.mT).mT]).flatten(0, 1)
        z = z.to(like).unflatten(-1, self.features_in)
        z = z if self.axes is None else z.movedim(self._last(), self.axes)
        was_training = layer.training
        with torch.no_grad():
            try:
                y = layer.eval()(z)
            except RuntimeError as error:
                raise ValueError(
                    f"place {self.name!r}: the layer does not take features of shape {self.features_in}: {error}"
                ) from error
            finally:
                layer.train(was_training)
        y = self.flatten_out(y).double().cpu().unflatten(0, (-1, 4))
        expected = self.rho_out(g).left(y[0].mT).mT
        scale = expected.abs().max()
        if (y[1:] - expected).abs().max() > _TOLERANCE * scale:
            raise ValueError(
                f"place {self.name!r}: the layer is not equivariant under the declared representations "
                f"({type(self.acts_on_in).__name__} to {type(self.acts_on_out).__name__}): "
                f"f(rho_in(g) z) and rho_out(g) f(z) differ by {float((y[1:] - expected).abs().max() / scale):.1g} "
                "of the largest output."
            )

    def _channel_axis(self, z: Tensor) -> int:
        return z.ndim - len(self.features_in) if self.axes is None else self.axes[0] % z.ndim

    def _last(self) -> tuple[int, ...]:
        return tuple(range(-len(self.features_in), 0))

    def _flatten(self, x: Tensor, features: tuple[int, ...], side: str) -> Tensor:
        x = self._features_last(x, features, side)
        return x.flatten(-len(features)) if len(features) > 1 else x

    def _features_last(self, x: Tensor, features: tuple[int, ...], side: str) -> Tensor:
        k = len(features)
        if x.ndim > k and self.axes is not None:
            x = x.movedim(self.axes, self._last())
        if x.ndim <= k or x.shape[-k:] != features:
            moved = f" after its axes {self.axes} are moved last" if self.axes else ""
            raise ValueError(
                f"place {self.name!r}: the layer's {side} has shape {tuple(x.shape)}, which does not end in the "
                f"declared features {features}{moved}."
            )
        return x

    def _matrices(
        self, rep: Representation, g: Tensor, features: tuple[int, ...], side: str
    ) -> BlockDiagonal:
        try:
            return matrices(rep, g, features)
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"place {self.name!r}, {side}: {error}") from error


def check_places(places: list[Place], module: nn.Module) -> None:
    """ValueError unless all places name different modules, and every `reads` an earlier place with the same input.

    >>> s = twirl.Scalars()
    >>> check_places([Place("1", s, s, 3, 4)], torch.nn.Sequential(torch.nn.Linear(3, 4)))
    Traceback (most recent call last):
        ...
    ValueError: place '1': Sequential has no module of that name.
    """
    if not places:
        raise ValueError("there is no place to relax: the list of places is empty.")
    seen: dict[str, Place] = {}
    modules = dict(module.named_modules())
    for place in places:
        if place.name in seen:
            raise ValueError(f"place {place.name!r} is listed twice.")
        if not place.name or place.name not in modules:
            raise ValueError(f"place {place.name!r}: {type(module).__name__} has no module of that name.")
        outer = next((name for name in seen if place.name.startswith(name + ".")), None)
        outer = outer or next((name for name in seen if name.startswith(place.name + ".")), None)
        if outer is not None:
            raise ValueError(f"places {place.name!r} and {outer!r} are one inside the other.")
        if place.reads is not None:
            other = seen.get(place.reads)
            if other is None or other.reads is not None:
                raise ValueError(
                    f"place {place.name!r} reads {place.reads!r}, which is no earlier place with its own input."
                )
            if (other.features_in, other.axes) != (place.features_in, place.axes):
                raise ValueError(
                    f"place {place.name!r} cannot read what {place.reads!r} reads: their inputs differ in shape."
                )
        seen[place.name] = place
