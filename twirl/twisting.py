"""Twisted predictions Z_g = g^-1 f(g x) and their average mu, the twirled prediction (paper A eq. 4-5)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from twirl.groups import inverse
from twirl.representations import Representation, Tree, as_representation
from twirl.rotations import RotationSet


def twist(
    model: Callable[[Any], Any],
    x: Any,
    g: Tensor,
    acts_on_x: Representation,
    acts_on_y: Representation,
    chunk: int | None = None,
) -> Any:
    """The twisted predictions Z_g = g^-1 f(g x) (paper A eq. 4).

    model: f; takes what x is (tensor, dict, tuple, dataclass), returns one row per row of its input's leading
    axis.
    x: a batch, leading axis n. g: (R, ...) group elements. The R transformed copies are folded into the
    leading axis and go through the model in one call; chunk: at most so many copies per call, if memory is
    short. Returns (R, n, ...), in the model's dtype but at least float32 (a tree of such for a tree
    acts_on_y).
    Errors: ValueError if the data or the model's output do not fit their representations.

    >>> model, x = torch.nn.Linear(3, 3), torch.randn(4, 20, 3)
    >>> twirl.twist(model, x, twirl.SO3().sample(10), twirl.Vectors(), twirl.Vectors()).shape
    torch.Size([10, 4, 20, 3])
    """
    acts_on_x, acts_on_y = as_representation(acts_on_x), as_representation(acts_on_y)
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1 rotation per call, not {chunk}.")
    parts = [
        acts_on_y.act(inverse(part), _separate(acts_on_y, model(acts_on_x.copies(part, x)), len(part)))
        for part in g.split(chunk or len(g))
    ]
    return parts[0] if len(parts) == 1 else _concatenate(acts_on_y, parts)


def twirl(
    model: Callable[[Any], Any],
    x: Any,
    rotations: RotationSet,
    acts_on_x: Representation,
    acts_on_y: Representation,
    chunk: int | None = None,
) -> Any:
    """The twirled prediction mu(x) = E_g[g^-1 f(g x)] over a set of rotations (paper A eq. 5).

    Arguments as for `twist`. Returns (n, ...). Exactly equivariant under a group that `rotations` enumerates.

    >>> cube, v = twirl.Octahedral(), twirl.Vectors()
    >>> mu = lambda x: twirl.twirl(lambda x: x.cumsum(-1).sin(), x, twirl.enumerate_group(cube), v, v)
    >>> x, g = torch.randn(4, 20, 3, dtype=torch.float64), cube.elements()[5]
    >>> torch.allclose(mu(x @ g.T), mu(x) @ g.T)
    True
    """
    return average(twist(model, x, rotations.elements, acts_on_x, acts_on_y, chunk), rotations.weights)


def average(Z: Any, weights: Tensor) -> Any:
    """The weighted mean over the leading axis, leaf by leaf: Z (R, ...), weights (R,) -> (...).

    >>> average(torch.tensor([[1.0], [3.0]]), torch.tensor([0.25, 0.75]))
    tensor([2.5000])
    """
    if isinstance(Z, dict):
        return {name: average(leaf, weights) for name, leaf in Z.items()}
    if isinstance(Z, tuple):
        return tuple(average(leaf, weights) for leaf in Z)
    if not isinstance(Z, Tensor):
        raise ValueError(f"twirled outputs are tensors, or dicts or tuples of them, not {type(Z).__name__}.")
    return (weights.to(Z.device, Z.dtype).view(-1, *[1] * (Z.ndim - 1)) * Z).sum(0)


def _separate(rep: Representation, output: Any, R: int) -> Any:
    separated = rep.separate(output, R)
    if isinstance(separated, Tensor) and separated.dtype in (torch.float16, torch.bfloat16):
        return separated.float()
    return separated


def _concatenate(rep: Representation, parts: list) -> Any:
    if isinstance(rep, Tree):
        if isinstance(parts[0], dict):
            return {k: _concatenate(rep.fields[k], [p[k] for p in parts]) for k in parts[0]}
        if isinstance(parts[0], tuple):
            return tuple(_concatenate(rep.fields[k], [p[k] for p in parts]) for k in range(len(parts[0])))
        raise ValueError(
            f"chunk= supports outputs that are tensors, dicts or tuples, not {type(parts[0]).__name__}."
        )
    return torch.cat(parts)
