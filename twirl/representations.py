"""How a group element acts on data, and how transformed copies of a batch are folded into one batch.

A representation is a law g -> (x -> g x) with (gh) x = g (h x). Inside `act` data carry a leading axis of copies:
`act(g, x)` takes g: (R, ...) and x: (R or 1, n, ...) and returns (R, n, ...). `copies` turns a batch (n, ...) into
the folded batch (R * n, ...), which a model sees in one call; `separate` unfolds the model's output.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from twirl.groups import inverse
from twirl.wigner import parse_irreps, wigner_D

__all__ = [
    "BatchIndex",
    "Constant",
    "Count",
    "Identity",
    "IrrepsRep",
    "OnePerRow",
    "Permuted",
    "Representation",
    "Scalars",
    "Tree",
    "Vectors",
    "Voxels",
    "inverse",
]


class Representation:
    """A leaf of data (one tensor) on which a group acts; the base class acts trivially.

    >>> twirl.Representation().act(twirl.SO3().sample(2), torch.tensor([[5.0]]))
    tensor([[5.],
            [5.]])
    """

    fold_dim = 0  # the axis along which copies are concatenated

    def act(self, g: Tensor, x: Tensor) -> Tensor:
        """g x. g: (R, ...), x: (R or 1, ...) -> (R, ...), in the dtype and on the device of x."""
        return x.expand(len(g), *x.shape[1:])

    def act_rows(self, g: Tensor, x: Tensor) -> Tensor:
        """Row i of x (n, ...) transformed by its own g[i], g: (n, ...); invariants come back as they are."""
        if len(g) != len(x):
            raise ValueError(f"{type(self).__name__}: {len(g)} group elements for {len(x)} rows of data.")
        return self.act(g, x[:, None])[:, 0]

    def copies(self, g: Tensor, x: Tensor, siblings: Any = None) -> Tensor:
        """The R transformed copies of the batch x (n, ...) as one batch (R * n, ...)."""
        _check_tensor(self, x)
        return self.act(g, x[None]).flatten(0, 1)

    def separate(self, z: Tensor, R: int) -> Tensor:
        """Undo the folding: (R * n, ...) -> (R, n, ...)."""
        _check_tensor(self, z)
        if len(z) % R:
            raise ValueError(
                f"the model returned a leading axis of {len(z)} for {R} folded copies, which does "
                "not divide: it must return one row per row of its input's leading axis."
            )
        return z.unflatten(0, (R, -1))

    def size(self, x: Tensor) -> int:
        """How many rows x has along the axis that copies are concatenated on."""
        return x.shape[self.fold_dim]


class Scalars(Representation):
    """Invariants: g x = x.

    >>> twirl.Scalars().copies(twirl.SO3().sample(10), torch.randn(8, 1)).shape  # 10 equal copies, folded
    torch.Size([80, 1])
    """

    def act_rows(self, g: Tensor, x: Tensor) -> Tensor:
        return x


class Identity(Scalars):
    """Data without orientation (atomic numbers, masks, times): the same for every copy, repeated per copy.

    >>> twirl.Identity().copies(twirl.SO3().sample(2), torch.tensor([8, 1, 1]))
    tensor([8, 1, 1, 8, 1, 1])
    """


class Constant(Scalars):
    """What all copies share (a number, a flag, a table without batch axis): passed on once, unchanged.

    >>> twirl.Constant().copies(twirl.SO3().sample(2), 0.5)
    0.5
    """

    def act(self, g, x):
        return x

    def copies(self, g, x, siblings=None):
        return x

    def separate(self, z, R):
        return z


class Count(Constant):
    """An integer that counts rows of the batch, such as its graphs; R copies have R times as many.

    >>> twirl.Count().copies(twirl.SO3().sample(10), 4)
    40
    """

    def copies(self, g, x, siblings=None):
        return len(g) * x

    def separate(self, z, R):
        return z // R

    def size(self, x):
        return x


class Vectors(Representation):
    """3-vectors along the axis `dim` of x (counted without the axis of copies): v -> g v.

    >>> g, v = twirl.SO3().sample(10), torch.randn(4, 20, 3, dtype=torch.float64)
    >>> torch.allclose(twirl.Vectors().act(g, v[None])[2], v @ g[2].T)
    True
    """

    def __init__(self, dim: int = -1):
        self.dim = dim

    def act(self, g, x):
        dim = _axis(self.dim, x)
        if dim is None or x.shape[dim] != 3:
            raise ValueError(f"Vectors(dim={self.dim}) needs 3 components there; {_shaped(x)}.")
        return _apply(g, x.movedim(dim, -1)).movedim(-1, dim)


class IrrepsRep(Representation):
    """Irreps of O(3) along the last axis, in e3nn's notation and basis ("8x0e + 4x1o"): x -> D(g) x.

    Takes a string or an e3nn `Irreps`. e3nn itself is not needed, and its Wigner matrices are not used: they
    are built from single-precision generators, good to 1e-6 only.

    >>> features, (g, h) = twirl.IrrepsRep("8x0e + 4x1o"), twirl.SO3().sample(2)[:, None]
    >>> x = torch.randn(1, 5, features.dim, dtype=torch.float64)
    >>> torch.allclose(features.act(twirl.compose(g, h), x), features.act(g, features.act(h, x)))
    True
    """

    def __init__(self, irreps: str):
        self.name = str(irreps)
        self.irreps = parse_irreps(irreps)
        self.dim = sum(multiplicity * (2 * degree + 1) for multiplicity, degree, _ in self.irreps)

    def act(self, g, x):
        if x.shape[-1] != self.dim or x.ndim < 3:
            raise ValueError(f"IrrepsRep({self.name!r}) needs a last axis of {self.dim}; {_shaped(x)}.")
        widths = [multiplicity * (2 * degree + 1) for multiplicity, degree, _ in self.irreps]
        turned, D = [], {}
        for (multiplicity, degree, p), part in zip(self.irreps, x.split(widths, dim=-1), strict=True):
            if (degree, p) not in D:
                D[degree, p] = wigner_D(degree, p, g)
            turned.append(
                _apply(D[degree, p], part.unflatten(-1, (multiplicity, 2 * degree + 1))).flatten(-2)
            )
        return torch.cat(turned, dim=-1)


class Voxels(Representation):
    """Scalar fields on a cubic grid, the last three axes (x, y, z), about the grid's centre: (g V)(r) =
    V(g^-1 r).

    Signed permutation matrices move voxels exactly (equal to rot90 and flips); other rotations interpolate
    trilinearly, with zeros outside the grid, so that they compose only approximately.

    >>> grid, quarter = torch.randn(1, 2, 8, 8, 8), twirl.Octahedral().generators()[:1]  # a quarter turn about z
    >>> torch.equal(twirl.Voxels().act(quarter, grid[None])[0], grid.rot90(dims=(2, 3)))
    True
    """

    def act(self, g, x):
        n = x.shape[-1]
        if x.ndim < 4 or x.shape[-3:] != (n, n, n):
            raise ValueError(f"Voxels needs a cubic grid in the last three axes; {_shaped(x)}.")
        x = x.expand(len(g), *x.shape[1:])
        exact = (g - g.round()).abs().flatten(1).amax(1) < 1e-6
        if exact.all():
            return self._permute(g, x)
        if not exact.any():
            return self._interpolate(g, x)
        exact_, other_ = exact.to(x.device), ~exact.to(x.device)
        moved = torch.empty_like(x)
        moved[exact_] = self._permute(g[exact], x[exact_])
        moved[other_] = self._interpolate(g[~exact], x[other_])
        return moved

    def _permute(self, g, x):
        """Output axis i is input axis p[i], backwards where row i of g has its -1 in column p[i]."""
        moved = x.new_empty(x.shape)
        g = g.round().cpu().long()
        first = x.ndim - 3
        for element in g.unique(dim=0):
            rows = (g == element).flatten(1).all(1)
            here = slice(None) if rows.all() else rows.nonzero()[:, 0].to(x.device)
            p, signs = element.abs().argmax(-1).tolist(), element.sum(-1).tolist()
            turned = x[here].permute(*range(first), *(first + axis for axis in p))
            moved[here] = turned.flip([first + i for i, sign in enumerate(signs) if sign < 0])
        return moved

    def _interpolate(self, g, x):
        n = x.shape[-1]
        work = torch.promote_types(x.dtype, torch.float32)
        line = torch.linspace(-1, 1, n, dtype=work, device=x.device) if n > 1 else x.new_zeros(1, dtype=work)
        r = torch.cartesian_prod(line, line, line).view(1, n, n, n, 3)
        sources = _apply(inverse(g), r.expand(len(g), -1, -1, -1, -1))
        channels = x.reshape(len(g), -1, n, n, n).to(work)
        moved = F.grid_sample(
            channels, sources.flip(-1), mode="bilinear", padding_mode="zeros", align_corners=True
        )
        return moved.view(x.shape).to(x.dtype)


class Permuted(Representation):
    """Things permuted along the axis `dim` of x (counted without the axis of copies): (g x)[g[i]] = x[i].

    >>> twirl.Permuted().act(torch.tensor([[1, 2, 0]]), torch.tensor([[[10, 20, 30]]]))
    tensor([[[30, 10, 20]]])
    """

    def __init__(self, dim: int = 1):
        self.dim = dim

    def act(self, g, x):
        dim = _axis(self.dim, x)
        if dim is None or x.shape[dim] != g.shape[-1]:
            raise ValueError(f"Permuted(dim={self.dim}) needs {g.shape[-1]} things there; {_shaped(x)}.")
        x = x.expand(len(g), *x.shape[1:]).movedim(dim, -1)
        index = inverse(g).to(x.device).view(len(g), *[1] * (x.ndim - 2), -1)
        return x.gather(-1, index.expand(x.shape)).movedim(-1, dim)


class OnePerRow(Representation):
    """A different group element for each row of data (twirl.groups.OnePerRow): g (R, n, ...) acts on (R, n, ...).

    of: how an element acts on one row's data.

    >>> g = twirl.groups.OnePerRow(twirl.SO3(), keys=[7, 8]).sample(5)
    >>> OnePerRow(twirl.Vectors()).act(g, torch.randn(1, 2, 3)).shape
    torch.Size([5, 2, 3])
    """

    def __init__(self, of: Representation):
        self.of = of

    def act(self, g, x):
        if g.shape[1] != x.shape[1]:
            raise ValueError(f"OnePerRow: {g.shape[1]} group elements for {x.shape[1]} rows of data.")
        rows = x.expand(len(g), *x.shape[1:]).flatten(0, 1)
        return self.of.act_rows(g.flatten(0, 1), rows).unflatten(0, g.shape[:2])


class BatchIndex(Scalars):
    """Indices into another field's rows (edge lists, neighbour lists, which graph a node belongs to).

    Each copy points into its own rows: copy r is offset by r times the number of rows of the field `into` of
    the same Tree (a name; a position in tuples). Without `into`: one more than the largest index, right
    unless trailing rows are pointed at by nothing. Negative indices (padding) stay.
    dim: the axis along which copies are concatenated (1 for an edge_index of shape (2, edges)).

    >>> graph = twirl.Tree({"pos": twirl.Vectors(), "edges": twirl.BatchIndex(into="pos", dim=1)})
    >>> x = {"pos": torch.randn(3, 3), "edges": torch.tensor([[0, 1], [1, 2]])}
    >>> graph.copies(twirl.SO3().sample(2), x)["edges"]
    tensor([[0, 1, 3, 4],
            [1, 2, 4, 5]])
    """

    def __init__(self, into: str | int | None = None, dim: int = 0):
        self.into = into
        self.fold_dim = dim

    def copies(self, g, x, siblings=None):
        _check_tensor(self, x)
        R = len(g)
        if self.into is None:
            rows = int(x.max()) + 1 if x.numel() else 0
        elif siblings is None:
            raise ValueError(f"BatchIndex(into={self.into!r}) must be a leaf of a Tree that has that field.")
        else:
            rows = siblings(self.into)
        offsets = (rows * torch.arange(R, device=x.device, dtype=x.dtype)).view(R, *[1] * x.ndim)
        shifted = torch.where(x[None] < 0, x[None], x[None] + offsets)
        return torch.cat(shifted.unbind(0), dim=self.fold_dim)

    def separate(self, z, R):
        raise ValueError("BatchIndex describes inputs; a model's output cannot be one.")


class Tree(Representation):
    """A representation for every field of a dict, tuple, list, named tuple or dataclass instance.

    Tree({"pos": Vectors(), "z": Identity(), "cutoff": Constant()}) for dicts and dataclasses,
    Tree((Vectors(), Identity())) for tuples. Plain dicts and tuples inside become Trees themselves.
    Errors: ValueError naming the fields that have no representation or do not exist.

    >>> acts = twirl.Tree({"pos": twirl.Vectors(), "z": twirl.Identity(), "cutoff": twirl.Constant()})
    >>> water = {"pos": torch.randn(3, 3), "z": torch.tensor([8, 1, 1]), "cutoff": 6.0}
    >>> two = acts.copies(twirl.SO3().sample(2), water)
    >>> two["pos"].shape, two["z"], two["cutoff"]
    (torch.Size([6, 3]), tensor([8, 1, 1, 8, 1, 1]), 6.0)
    """

    def __init__(self, fields: Mapping[str, Any] | tuple | list):
        items = fields.items() if isinstance(fields, Mapping) else enumerate(fields)
        self.fields = {name: as_representation(field) for name, field in items}

    def act(self, g, x):
        return self._map(x, lambda rep, leaf: rep.act(g, leaf))

    def act_rows(self, g, x):
        return self._map(x, lambda rep, leaf: rep.act_rows(g, leaf))

    def copies(self, g, x, siblings=None):
        leaves = _fields(x)

        def rows(name) -> int:
            if name not in leaves:
                raise ValueError(
                    f"BatchIndex(into={name!r}): there is no such field; fields are {_names(leaves)}."
                )
            return self.fields[name].size(leaves[name])

        return self._map(x, lambda rep, leaf: rep.copies(g, leaf, rows))

    def separate(self, z, R):
        return self._map(z, lambda rep, leaf: rep.separate(leaf, R))

    def _map(self, x, f):
        leaves = _fields(x)
        missing, unknown = leaves.keys() - self.fields.keys(), self.fields.keys() - leaves.keys()
        if missing:
            raise ValueError(
                f"fields {_names(missing)} have no representation; use Identity() for data without "
                "orientation, Constant() for what all copies share."
            )
        if unknown:
            raise ValueError(f"the Tree describes fields {_names(unknown)}, which the data do not have.")
        return _rebuild(x, {name: f(self.fields[name], leaf) for name, leaf in leaves.items()})


def as_representation(spec: Any) -> Representation:
    """A representation as it is; dicts, tuples and dataclass instances of representations as a Tree.

    >>> type(as_representation({"pos": twirl.Vectors()})).__name__
    'Tree'
    """
    if isinstance(spec, Representation):
        return spec
    if isinstance(spec, Mapping | tuple | list):
        return Tree(spec)
    if dataclasses.is_dataclass(spec) and not isinstance(spec, type):
        return Tree(_fields(spec))
    raise ValueError(f"expected a representation, such as Vectors() or Scalars(), not {spec!r}.")


def _apply(matrices: Tensor, x: Tensor) -> Tensor:
    """Rows v -> m v: matrices (R, d, d), x (R or 1, ..., d) -> (R, ..., d).

    Products and sums, no matmul, which TF32 would round to three digits; half precision is computed in
    float32.
    """
    work = torch.promote_types(x.dtype, torch.float32)
    m = matrices.to(x.device, work)
    m = m.view(len(m), *[1] * (x.ndim - 2), *m.shape[1:])
    return (m * x.to(work)[..., None, :]).sum(-1).to(x.dtype)


def _fields(x: Any) -> dict:
    if isinstance(x, Mapping):
        return dict(x)
    if isinstance(x, tuple | list):
        return dict(enumerate(x))
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return {field.name: getattr(x, field.name) for field in dataclasses.fields(x)}
    raise ValueError(f"a Tree acts on dicts, tuples and dataclass instances, not on {type(x).__name__}.")


def _rebuild(like: Any, leaves: dict) -> Any:
    if isinstance(like, Mapping):
        return type(like)(leaves)
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        return type(like)(*leaves.values())
    if isinstance(like, tuple | list):
        return type(like)(leaves.values())
    return dataclasses.replace(like, **leaves)


def _names(names) -> str:
    return ", ".join(repr(name) for name in sorted(names, key=str))


def _axis(dim: int, x: Tensor) -> int | None:
    """Axis `dim` of data without copies as an axis of x with them; None if absent or the axis of rows."""
    axis = x.ndim + dim if dim < 0 else dim + 1
    return axis if 2 <= axis < x.ndim else None


def _shaped(x: Tensor) -> str:
    return f"the data have shape {tuple(x.shape[1:])}"


def _check_tensor(rep: Representation, x: Any) -> None:
    if not isinstance(x, Tensor) or x.ndim == 0:
        kind = "a tensor without axes" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise ValueError(
            f"{type(rep).__name__} needs a tensor with a leading axis, not {kind}; use Constant() for that."
        )
