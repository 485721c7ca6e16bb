"""Symmetry groups: sampling, enumeration, topological generators.

Elements are plain tensors with a leading axis that lists them. A rotation is a 3x3 matrix acting on column
vectors, v -> g v (rows of positions: p -> p g^T); a permutation of k things is a long tensor (k,), i -> g[i].
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import permutations, product

import torch
from torch import Tensor

_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
_LARGEST_ENUMERATED_PERMUTATIONS = 8

_GOLDEN = 0x9E3779B97F4A7C15  # spreads neighbouring keys over 64 bits


def compose(g: Tensor, h: Tensor) -> Tensor:
    """The product gh ("first h, then g"); leading axes broadcast.

    g, h: rotations (..., 3, 3) or permutations (..., k) long.

    >>> g, h = twirl.SO3().sample(2)
    >>> v = torch.randn(3, dtype=torch.float64)
    >>> torch.allclose(twirl.compose(g, h) @ v, g @ (h @ v))
    True
    """
    if g.is_floating_point():
        return g @ h
    shape = torch.broadcast_shapes(g.shape, h.shape)
    return g.expand(shape).gather(-1, h.expand(shape))


def inverse(g: Tensor) -> Tensor:
    """The inverse g^-1 of rotations (..., 3, 3), the transpose, or of permutations (..., k) long.

    >>> g = twirl.Permutations(5).sample(1)
    >>> twirl.compose(twirl.inverse(g), g)
    tensor([[0, 1, 2, 3, 4]])
    """
    return g.transpose(-1, -2) if g.is_floating_point() else g.argsort(-1)


def quaternion_to_matrix(q: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of quaternions q (..., 4), real part first; q need not be normalised.

    >>> quaternion_to_matrix(torch.tensor([1.0, 0.0, 0.0, 1.0])).round().int()  # a quarter turn about z
    tensor([[ 0, -1,  0],
            [ 1,  0,  0],
            [ 0,  0,  1]], dtype=torch.int32)
    """
    w, x, y, z = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    entries = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def about_axis(axis: str, angles: Tensor) -> Tensor:
    """Rotations (..., 3, 3) by `angles` (...) [radian], counter-clockwise about the axis "x", "y" or "z".

    >>> quarter = about_axis("z", torch.tensor(torch.pi / 2))
    >>> (quarter @ torch.tensor([1.0, 0.0, 0.0])).round().int()  # x onto y
    tensor([0, 1, 0], dtype=torch.int32)
    """
    if axis not in _AXES:
        raise ValueError(f"axis must be 'x', 'y' or 'z', not {axis!r}.")
    a, b, c = angles.new_tensor(_AXES[axis])
    zero = torch.zeros_like(a)
    cross = torch.stack([zero, -c, b, c, zero, -a, -b, a, zero]).view(3, 3)
    sin, cos = angles.sin()[..., None, None], angles.cos()[..., None, None]
    return torch.eye(3, dtype=angles.dtype, device=angles.device) + sin * cross + (1 - cos) * (cross @ cross)


class Group(ABC):
    """A compact group with a uniform (Haar) probability measure.

    >>> cube = twirl.Octahedral()
    >>> len(cube.elements()), len(cube.sample(5)), len(cube.generators())
    (24, 5, 2)
    """

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({arguments})"

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None, dtype=torch.float64) -> Tensor:
        """n independent uniform elements; lives on the generator's device (CPU without one)."""

    @abstractmethod
    def elements(self, dtype=torch.float64) -> Tensor:
        """Every element, identity first; ValueError if there are infinitely (or impractically) many."""

    @abstractmethod
    def generators(self, dtype=torch.float64) -> Tensor:
        """Few elements whose products are dense in the group (all of it, if finite)."""

    def identity(self, dtype=torch.float64) -> Tensor:
        """The neutral element, with a leading axis of length 1."""
        return torch.eye(3, dtype=dtype)[None]


class SO3(Group):
    """All rotations of space, uniform in the Haar measure (normalised Gaussian quaternions).

    >>> g = twirl.SO3().sample(100, torch.Generator().manual_seed(0))
    >>> torch.allclose(g @ g.mT, torch.eye(3, dtype=g.dtype).expand_as(g))
    True
    """

    def sample(self, n, generator=None, dtype=torch.float64):
        _check_count(n)
        device = generator.device if generator is not None else None
        q = torch.randn(n, 4, generator=generator, dtype=torch.float64, device=device)
        return quaternion_to_matrix(q).to(dtype)

    def elements(self, dtype=torch.float64):
        raise _infinite("SO3")

    def generators(self, dtype=torch.float64):
        """The rotations by arccos(3/5) about z and x: an irrational part of a turn about two axes."""
        angle = torch.tensor(math.acos(3 / 5), dtype=torch.float64)
        return torch.stack([about_axis("z", angle), about_axis("x", angle)]).to(dtype)


class SO2(Group):
    """The rotations about one coordinate axis.

    >>> z = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    >>> torch.allclose(twirl.SO2("z").sample(1)[0] @ z, z)
    True
    """

    def __init__(self, axis: str = "z"):
        self.axis = axis
        about_axis(axis, torch.zeros(()))

    def sample(self, n, generator=None, dtype=torch.float64):
        _check_count(n)
        device = generator.device if generator is not None else None
        turns = torch.rand(n, generator=generator, dtype=torch.float64, device=device)
        return about_axis(self.axis, 2 * math.pi * turns).to(dtype)

    def elements(self, dtype=torch.float64):
        raise _infinite("SO2")

    def generators(self, dtype=torch.float64):
        """The rotation by the golden section of a turn."""
        golden = torch.tensor([2 * math.pi * (math.sqrt(5) - 1) / 2], dtype=torch.float64)
        return about_axis(self.axis, golden).to(dtype)


class _Listed(Group):
    """A finite set of elements, drawn uniformly with replacement."""

    def __init__(self, elements: Tensor):
        self._elements = elements

    def __len__(self) -> int:
        return len(self._elements)

    def _cast(self, elements: Tensor, dtype) -> Tensor:
        return elements.to(dtype) if elements.is_floating_point() else elements.clone()

    def sample(self, n, generator=None, dtype=torch.float64):
        _check_count(n)
        device = generator.device if generator is not None else None
        index = torch.randint(len(self), (n,), generator=generator, device=device)
        return self._cast(self._elements.to(index.device)[index], dtype)

    def elements(self, dtype=torch.float64):
        return self._cast(self._elements, dtype)


class FiniteRotations(_Listed):
    """The finite rotation group whose elements are the given matrices (n, 3, 3), in any order.

    Errors: ValueError unless they are distinct rotations, closed under products.

    >>> half_turn = about_axis("z", torch.tensor([0.0, torch.pi], dtype=torch.float64))
    >>> len(twirl.FiniteRotations(half_turn))
    2
    """

    def __init__(self, matrices: Tensor):
        matrices = torch.as_tensor(matrices, dtype=torch.float64)
        if matrices.ndim != 3 or matrices.shape[1:] != (3, 3):
            raise ValueError(f"matrices must have shape (n, 3, 3), not {tuple(matrices.shape)}.")
        identity = torch.eye(3, dtype=torch.float64)
        if not torch.allclose(matrices @ matrices.mT, identity.expand_as(matrices), atol=1e-9):
            raise ValueError(
                "matrices must be orthogonal: m m^T is not the identity for at least one of them."
            )
        if (torch.linalg.det(matrices) < 0).any():
            raise ValueError("matrices must be rotations: at least one of them is a reflection.")
        self._table = _product_table(matrices)
        first = _find(matrices, identity[None])
        order = torch.argsort(torch.arange(len(matrices)) != first, stable=True)
        super().__init__(matrices[order])
        self._table = _product_table(self._elements)

    def generators(self, dtype=torch.float64):
        """Greedy: the first elements that each enlarge the subgroup generated so far."""
        chosen, reached = [], {0}
        for candidate in range(len(self)):
            if candidate in reached:
                continue
            chosen.append(candidate)
            reached = _closure(self._table, chosen)
        return self._cast(self._elements[chosen or [0]], dtype)


class Octahedral(FiniteRotations):
    """The 24 rotations of a cube: signed permutation matrices of determinant +1 (exact integers).

    >>> len(twirl.Octahedral())
    24
    """

    def __init__(self):
        super().__init__(_signed_permutations([(p, t) for p in permutations(range(3)) for t in _signs()]))

    def generators(self, dtype=torch.float64):
        """The quarter turns about z and x."""
        pairs = [((1, 0, 2), (-1, 1, 1)), ((0, 2, 1), (1, -1, 1))]
        return _signed_permutations(pairs).to(dtype)


class Cyclic(FiniteRotations):
    """The n rotations by multiples of 360/n degrees about one coordinate axis.

    >>> g = twirl.Cyclic(6).generators()[0]
    >>> torch.allclose(torch.linalg.matrix_power(g, 6), torch.eye(3, dtype=g.dtype))
    True
    """

    def __init__(self, n: int, axis: str = "z"):
        self.n, self.axis = n, axis
        _check_count(n)
        turns = torch.arange(n, dtype=torch.float64) / n
        super().__init__(about_axis(axis, 2 * math.pi * turns))

    def generators(self, dtype=torch.float64):
        """The smallest rotation."""
        return self._cast(self._elements[1 % len(self)][None], dtype)


class AxisPreserving(_Listed):
    """The 16 of the 24 cube rotations that map some coordinate axis to itself up to sign (VoxMol's set).

    It is NOT a group (16 does not divide 24): the average over it is not an exact equivariant projection,
    although the decomposition of the loss holds. Draw from it as from a group.

    >>> len(twirl.AxisPreserving())
    16
    """

    def __init__(self):
        pairs = [(p, t) for p in _PRESERVING for t in _signs()]
        super().__init__(_signed_permutations(pairs))

    def generators(self, dtype=torch.float64):
        raise ValueError(
            "AxisPreserving is not closed under products, so that it has no generators; use Octahedral()."
        )


class TwoAxisTurns(_Listed):
    """The 16 cube rotations made of quarter turns about x, then about y: another reading of VoxMol's set.

    Shares 12 elements with AxisPreserving, and like it is not a group.

    >>> len(twirl.TwoAxisTurns())
    16
    """

    def __init__(self):
        turns = [
            [about_axis(axis, torch.tensor(k * math.pi / 2).double()) for k in range(4)] for axis in "xy"
        ]
        super().__init__(torch.stack([y @ x for x, y in product(*turns)]).round())

    def generators(self, dtype=torch.float64):
        raise ValueError(
            "TwoAxisTurns is not closed under products, so that it has no generators; use Octahedral()."
        )


class OnePerRow(Group):
    """The group whose elements hold one rotation of `group` for each row of data: (rows, 3, 3).

    keys: a number for each row. With the same generator a row gets the same rotations in every batch.

    >>> OnePerRow(twirl.SO3(), keys=[7, 8]).sample(5).shape  # 5 draws for each of 2 rows
    torch.Size([5, 2, 3, 3])
    """

    def __init__(self, group: Group, keys: Sequence[int]):
        _check_count(len(keys))
        self.group, self.keys = group, tuple(keys)

    def sample(self, n, generator=None, dtype=torch.float64):
        _check_count(n)
        device = generator.device if generator is not None else None
        drawn = int(torch.randint(2**62, (), generator=generator, device=device))
        own = torch.Generator(device or "cpu")
        seeds = [(drawn + _GOLDEN * key) % 2**63 for key in self.keys]
        return torch.stack([self.group.sample(n, own.manual_seed(seed), dtype) for seed in seeds], dim=1)

    def elements(self, dtype=torch.float64):
        raise ValueError(f"{self!r} has too many elements to list; use sample(n).")

    def generators(self, dtype=torch.float64):
        """The generators of the group, each acting on one row alone."""
        each = self.group.generators(dtype)
        generators = self.identity(dtype).repeat(len(self.keys), len(each), 1, 1, 1)
        for row in range(len(self.keys)):
            generators[row, :, row] = each
        return generators.flatten(0, 1)

    def identity(self, dtype=torch.float64):
        return self.group.identity(dtype)[:, None].repeat(1, len(self.keys), 1, 1)


def voxel_rotations(dtype=torch.float64) -> Tensor:
    """The elements (16, 3, 3) of AxisPreserving, identity first.

    >>> twirl.voxel_rotations().shape
    torch.Size([16, 3, 3])
    """
    return AxisPreserving().elements(dtype)


class Permutations(Group):
    """All permutations of k things, as long tensors (n, k): i -> g[i].

    >>> len(twirl.Permutations(3).elements())
    6
    """

    def __init__(self, k: int):
        _check_count(k)
        self.k = k

    def sample(self, n, generator=None, dtype=torch.float64):
        _check_count(n)
        device = generator.device if generator is not None else None
        return torch.rand(n, self.k, generator=generator, dtype=torch.float64, device=device).argsort(-1)

    def elements(self, dtype=torch.float64):
        if self.k > _LARGEST_ENUMERATED_PERMUTATIONS:
            raise ValueError(
                f"Permutations({self.k}) has {self.k}! elements, too many to list; use sample(n)."
            )
        return torch.tensor(list(permutations(range(self.k))))

    def generators(self, dtype=torch.float64):
        """The swap of the first two, and the cycle of all."""
        cycle = torch.arange(self.k).roll(-1)
        swap = torch.arange(self.k)
        swap[:2] = swap[:2].flip(0)
        return torch.stack([swap, cycle])

    def identity(self, dtype=torch.float64):
        return torch.arange(self.k)[None]


# Axis permutations that keep an axis: none moved, or one pair swapped.
_PRESERVING = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0))


def _signs() -> list[tuple[int, ...]]:
    return list(product((1, -1), repeat=3))


def _signed_permutations(pairs) -> Tensor:
    """The rotations among the matrices with entry t[i] in row i, column p[i]."""
    kept = []
    for p, t in pairs:
        matrix = torch.zeros(3, 3, dtype=torch.float64)
        matrix[range(3), list(p)] = torch.tensor(t, dtype=torch.float64)
        if torch.linalg.det(matrix) > 0:
            kept.append(matrix)
    return torch.stack(kept)


def _find(matrices: Tensor, targets: Tensor) -> Tensor:
    """Index into `matrices` (n, 3, 3) of each of `targets` (m, 3, 3); ValueError where absent."""
    distance = (targets[:, None] - matrices[None]).flatten(2).norm(dim=-1)
    closest, index = distance.min(dim=1)
    if (closest > 1e-6).any():
        raise ValueError("matrices are not closed under products, so that they are not a group.")
    return index


def _product_table(matrices: Tensor) -> Tensor:
    """table[i, j] = index of matrices[i] @ matrices[j]."""
    n = len(matrices)
    if n > 1 and torch.pdist(matrices.flatten(1)).min() < 1e-6:
        raise ValueError("matrices must be distinct: at least one is listed twice.")
    return _find(matrices, (matrices[:, None] @ matrices[None]).flatten(0, 1)).view(n, n)


def _closure(table: Tensor, chosen: list[int]) -> set[int]:
    reached = frontier = {0}
    while frontier:
        frontier = {int(table[c, f]) for c in chosen for f in frontier} - reached
        reached = reached | frontier
    return reached


def _infinite(name: str) -> ValueError:
    return ValueError(f"{name} is infinite and cannot be enumerated; use sample(n) or rotation_set(kind, n).")


def _check_count(n: int) -> None:
    if n < 1:
        raise ValueError(f"the number of elements must be at least 1, not {n}.")
