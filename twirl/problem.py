"""One measurement: a prediction function, its data, and how rotations act on them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from twirl.decomposition import Decomposition, decompose
from twirl.groups import Group
from twirl.representations import Representation
from twirl.rotations import RotationSet
from twirl.twisting import twist


@dataclass(frozen=True)
class Problem:
    """Everything needed to measure the equivariance error of `model` on one batch.

    model: f(x) -> prediction (n, ...). x: one batch (tensor, dict, tuple, dataclass). y: target (n, ...).
    acts_on_x, acts_on_y: how rotations act on x and on predictions and targets.
    sample_index: (n,) long, which sample each row of y belongs to (atoms of molecules); None: each row is a
    sample.
    exact: optional closed form over all rotations, () -> (L_mean, L_equiv, sizes): per-sample losses (S,) per
    component and the number of components (S,) of each sample.
    loss: a convex loss, (prediction, target) -> one value per row, for the split of eq. 9; None: the MSE.
    group: whose rotations a monitor draws for this problem; None: the monitor's own.
    rotations: the set that a monitor twirls this problem over, such as an enumerated group; None: it draws some.

    >>> model, v = torch.nn.Linear(3, 3), twirl.Vectors()
    >>> problem = twirl.Problem(model, torch.randn(8, 3), torch.randn(8, 3), v, v)
    >>> problem.twist(twirl.rotation_set("iid", 10)).shape
    torch.Size([10, 8, 3])
    >>> 0 < problem.decompose(twirl.rotation_set("iid", 10)).percent < 100
    True
    """

    model: Callable[[Any], Any]
    x: Any
    y: Tensor
    acts_on_x: Representation
    acts_on_y: Representation
    sample_index: Tensor | None = None
    exact: Callable[[], tuple[Tensor, Tensor, Tensor]] | None = None
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    group: Group | None = None
    rotations: RotationSet | None = None

    def twist(self, rotations: RotationSet, chunk: int | None = None) -> Tensor:
        """Twisted predictions (R, n, ...)."""
        return twist(self.model, self.x, rotations.elements, self.acts_on_x, self.acts_on_y, chunk)

    def decompose(self, rotations: RotationSet, **options) -> Decomposition:
        """See `twirl.decompose`, whose options this takes."""
        options = {"loss": self.loss} | options
        return decompose(
            self.model,
            self.x,
            self.y,
            rotations,
            self.acts_on_x,
            self.acts_on_y,
            sample_index=self.sample_index,
            **options,
        )
