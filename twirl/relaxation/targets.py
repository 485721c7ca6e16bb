"""The targets that RECM's update rule sees, and the action of rotations on them."""

from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from twirl.relaxation.blocks import BlockDiagonal, matrices
from twirl.representations import Representation, Scalars


@dataclass(frozen=True)
class Targets:
    """Targets whose rows have the shape `features` and transform by `acts_on` (forces per atom: (3,) with Vectors()).

    >>> forces = Targets(twirl.Vectors(), (3,))
    >>> forces.leading(torch.zeros(8, 20, 3))  # 8 molecules of 20 atoms
    (8, 20)
    """

    acts_on: Representation
    features: int | tuple[int, ...]

    def __post_init__(self):
        if isinstance(self.features, int):
            object.__setattr__(self, "features", (self.features,))

    def rho(self, g: Tensor) -> BlockDiagonal:
        """rho_out(g) on flattened targets."""
        return matrices(self.acts_on, g, self.features)

    def leading(self, y: Tensor) -> tuple[int, ...]:
        """The axes of y that list rows; ValueError if the rest is not as declared."""
        k = len(self.features)
        if y.ndim <= k or tuple(y.shape[y.ndim - k :]) != self.features:
            raise ValueError(f"targets of shape {tuple(y.shape)} do not end in the declared {self.features}.")
        return tuple(y.shape[: y.ndim - k])

    def rows(self, y: Tensor, index: Tensor) -> Tensor:
        """Rows `index` of the flattened leading axes of y, each flattened: (n, dim)."""
        return y.reshape(-1, prod(self.features))[index]


@dataclass(frozen=True, init=False)
class Labels(Targets):
    """Class labels 0, 1, ..., classes - 1, one-hot for the update rule; they are invariant.

    >>> Labels(4).rows(torch.tensor([2, 0]), index=torch.tensor([0]))
    tensor([[0, 0, 1, 0]])
    """

    def __init__(self, classes: int):
        super().__init__(Scalars(), classes)

    def leading(self, y):
        if y.is_floating_point() or y.ndim == 0:
            raise ValueError(
                f"labels are integers, one for each sample, not {y.dtype} of shape {tuple(y.shape)}."
            )
        return tuple(y.shape)

    def rows(self, y, index):
        return F.one_hot(y.reshape(-1)[index], self.features[0])


def rows_of_targets(
    rows: Tensor, shape: tuple[int, ...], leading: tuple[int, ...], index: Tensor | None
) -> Tensor:
    """Which row of the targets belongs to each of `rows`, flat indices into row axes `shape` of a layer's input.

    leading: the row axes of the targets. They equal the first row axes of the layer's input, or each target belongs to
    the same number of its consecutive rows. index: (shape[0],) long, the target of each entry of the layer's first axis
    (nodes of graphs); for targets with one row axis.
    Errors: ValueError if neither holds.

    >>> rows_of_targets(torch.arange(6), shape=(2, 3), leading=(2,), index=None)  # 2 clouds of 3 points
    tensor([0, 0, 0, 1, 1, 1])
    """
    total = prod(shape)
    if index is not None:
        if len(index) != shape[0]:
            raise ValueError(f"index has {len(index)} entries for {shape[0]} rows.")
        return index[torch.div(rows, total // shape[0], rounding_mode="floor")]
    count = prod(leading)
    if count == 0 or total % count:
        raise ValueError(
            f"{total} rows do not divide among targets of leading shape {leading}; pass observe(..., index=...)."
        )
    return torch.div(rows, total // count, rounding_mode="floor")
