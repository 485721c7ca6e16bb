"""Test-time remedies: wrappers that make any model equivariant, nearly or exactly, without training it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from twirl.groups import Group, inverse
from twirl.representations import Representation, as_representation
from twirl.rotations import RotationSet, enumerate_group, rotation_set
from twirl.twisting import average, twirl

# The sign choices of two principal axes; the third follows, so that the frame is a rotation.
_SIGNS = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))


class Twirled(nn.Module):
    """The twirled model, mu(x) = mean over rotations of g^-1 f(g x), over a fixed set of rotations.

    rotations: a number n, for n rotations of a low-discrepancy set (the remaining error falls with n, the cost is n
    evaluations); a finite group, under which the result is then exactly equivariant; or any RotationSet.
    chunk: rotations per call of the model.

    >>> cube, v = twirl.Octahedral(), twirl.Vectors()
    >>> twirled = twirl.Twirled(torch.nn.Linear(3, 3).double(), cube, v, v)
    >>> x, g = torch.randn(4, 20, 3, dtype=torch.float64), cube.elements()[5]
    >>> torch.allclose(twirled(x @ g.T), twirled(x) @ g.T)
    True
    """

    def __init__(
        self,
        model: Callable[[Any], Any],
        rotations: int | Group | RotationSet,
        acts_on_x: Representation,
        acts_on_y: Representation,
        chunk: int | None = None,
    ):
        super().__init__()
        if isinstance(rotations, int):
            rotations = rotation_set("super_fibonacci", rotations)
        elif isinstance(rotations, Group):
            rotations = enumerate_group(rotations)
        self.model = model
        self.rotations = rotations
        self.acts_on_x, self.acts_on_y = acts_on_x, acts_on_y
        self.chunk = chunk

    def forward(self, x: Any) -> Any:
        return twirl(self.model, x, self.rotations, self.acts_on_x, self.acts_on_y, self.chunk)


class Canonicalised(nn.Module):
    """The model in the principal-axes frame of each sample, averaged over the frame's four sign choices.

    It is exactly equivariant under rotations, at the cost of four evaluations, if the principal moments of the points
    are distinct. Where two moments become equal, the frame jumps, and the prediction with it.
    points: a function x -> points (B, n, 3), or (n, 3) with sample_index; by default x itself.
    sample_index: for ragged batches a function x -> (n,) long, the sample of each point. Without it every leaf that
    rotates has one row per sample; with it, one row per point.

    >>> turned = twirl.Canonicalised(torch.nn.Linear(3, 3).double(), twirl.Vectors(), twirl.Vectors())
    >>> x, g = torch.randn(4, 20, 3, dtype=torch.float64), twirl.SO3().sample(1)[0]
    >>> torch.allclose(turned(x @ g.T), turned(x) @ g.T)
    True
    """

    def __init__(
        self,
        model: Callable[[Any], Any],
        acts_on_x: Representation,
        acts_on_y: Representation,
        points: Callable[[Any], Tensor] | None = None,
        sample_index: Callable[[Any], Tensor] | None = None,
    ):
        super().__init__()
        self.model = model
        self.acts_on_x, self.acts_on_y = as_representation(acts_on_x), as_representation(acts_on_y)
        self.points = points
        self.sample_index = sample_index

    def forward(self, x: Any) -> Any:
        index = None if self.sample_index is None else self.sample_index(x)
        frames = pca_frames(x if self.points is None else self.points(x), index)  # (S, 4, 3, 3)
        rows = frames if index is None else frames[index]
        g = rows.transpose(0, 1).flatten(0, 1)  # (4 rows, 3, 3), in the order of folded copies
        still = torch.eye(3, dtype=frames.dtype, device=frames.device).expand(4, 3, 3)
        posed = self.acts_on_x.act_rows(g, self.acts_on_x.copies(still, x))
        back = self.acts_on_y.act_rows(inverse(g), self.model(posed))
        quarter = torch.full((4,), 0.25, dtype=frames.dtype, device=frames.device)
        return average(self.acts_on_y.separate(back, 4), quarter)


def pca_frames(points: Tensor, sample_index: Tensor | None = None) -> Tensor:
    """The four rotations g (S, 4, 3, 3) float64 that turn each sample's principal axes onto x, y, z.

    points: (S, n, 3), or (n, 3) with sample_index (n,) long. Axes are ordered by growing moment about the
    mean. The set obeys frames(points Q^T) = frames(points) Q^T up to order, for every rotation Q.
    Errors: ValueError for other shapes or points that are not finite.

    >>> points = torch.randn(2, 20, 3, dtype=torch.float64)
    >>> g = twirl.pca_frames(points)[:, 0]
    >>> posed = (points - points.mean(1, keepdim=True)) @ g.mT
    >>> moments = posed.mT @ posed
    >>> torch.allclose(moments, moments.diagonal(dim1=1, dim2=2).diag_embed())
    True
    """
    dense = sample_index is None
    if points.shape[-1] != 3 or points.ndim != (3 if dense else 2):
        wanted = "(samples, points, 3)" if dense else "(points, 3) with a sample_index"
        raise ValueError(f"frames need points {wanted}, not {tuple(points.shape)}.")
    if not points.isfinite().all():
        raise ValueError("frames need finite points.")
    points = points.detach().double()
    if dense:
        centred = points - points.mean(1, keepdim=True)
        moments = centred.mT @ centred
    else:
        S = int(sample_index.max()) + 1
        count = torch.bincount(sample_index, minlength=S).clamp_min(1).to(points)
        centre = points.new_zeros(S, 3).index_add_(0, sample_index, points) / count[:, None]
        centred = points - centre[sample_index]
        outer = centred[:, :, None] * centred[:, None, :]
        moments = points.new_zeros(S, 3, 3).index_add_(0, sample_index, outer)
    axes = torch.linalg.eigh(moments).eigenvectors.mT  # rows
    axes = torch.stack([axes[:, 0], axes[:, 1], torch.linalg.cross(axes[:, 0], axes[:, 1])], dim=1)
    return axes[:, None] * axes.new_tensor(_SIGNS)[None, :, :, None]
