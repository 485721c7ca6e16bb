"""Representations as block-diagonal matrices, and the generators of rotations in a representation."""

import math

import torch
from torch import Tensor

from twirl.groups import about_axis
from twirl.representations import Representation

_COLUMNS = 64  # columns of a matrix at a time, which bounds memory for wide features
_ZERO = 1e-12
_LARGEST_DEGREE = 8


class BlockDiagonal:
    """k matrices A_i (dim, dim) with equal square blocks on the diagonal.

    blocks: (k, dim / d, d, d), or (k, 1, d, d) if all blocks of a matrix are equal, as for vector channels.

    >>> A = BlockDiagonal(torch.randn(2, 1, 3, 3), dim=6)
    >>> A.dense().shape, torch.equal(A.left(torch.eye(6)), A.dense())
    (torch.Size([2, 6, 6]), True)
    """

    def __init__(self, blocks: Tensor, dim: int):
        self.blocks = blocks
        self.dim = dim
        self.is_identity = torch.equal(blocks, torch.eye(blocks.shape[-1]).to(blocks).expand_as(blocks))
        self._side_by_side = blocks[:, 0].transpose(0, 1).flatten(1)  # (d, k d), if all blocks are equal

    def __len__(self) -> int:
        return len(self.blocks)

    def to(self, like: Tensor) -> "BlockDiagonal":
        """The same matrices in the dtype and on the device of `like`."""
        return BlockDiagonal(self.blocks.to(like), self.dim)

    def transpose(self) -> "BlockDiagonal":
        """A_i^T."""
        return BlockDiagonal(self.blocks.mT.contiguous(), self.dim)

    def right(self, W: Tensor) -> Tensor:
        """W A_i: W (..., dim) -> (k, ..., dim)."""
        k, n, d, _ = self.blocks.shape
        if n == 1:  # one product for all matrices
            products = (W.reshape(-1, d) @ self._side_by_side).view(*W.shape[:-1], -1, k, d)
            return products.movedim(-2, 0).flatten(-2)
        # One product per block, for all rows, so that the blocks are not copied.
        parts = W.reshape(-1, n, d).transpose(0, 1)  # (dim / d, rows, d)
        return (parts @ self.blocks).transpose(1, 2).reshape(k, *W.shape)

    def left(self, W: Tensor) -> Tensor:
        """A_i W: W (dim, n) -> (k, dim, n)."""
        d = self.blocks.shape[-1]
        return (self.blocks @ W.unflatten(0, (-1, d))).flatten(1, 2)

    def dense(self) -> Tensor:
        """(k, dim, dim)."""
        return self.left(torch.eye(self.dim, dtype=self.blocks.dtype, device=self.blocks.device))


def matrices(rep: Representation, g: Tensor, features: tuple[int, ...]) -> BlockDiagonal:
    """rho(g) on flattened features of shape `features`, float64: g (k, ...) -> k matrices.

    >>> g = twirl.SO3().sample(2)
    >>> rho = matrices(twirl.Vectors(), g, (4, 3)).dense()  # 4 vectors
    >>> rho.shape, torch.equal(rho[:, 3:6, 3:6], g)
    (torch.Size([2, 12, 12]), True)
    """
    dim = math.prod(features)
    columns = []
    for j in range(0, dim, _COLUMNS):
        basis = torch.eye(dim, dtype=torch.float64)[j : j + _COLUMNS].view(1, -1, *features)
        columns.append(rep.act(g, basis).flatten(2).mT)  # (k, dim, columns)
    A = torch.cat(columns, dim=-1)
    A = torch.where(A.abs() < _ZERO, 0.0, A)
    row, column = (A != 0).any(0).nonzero().unbind(-1)
    d = next(d for d in range(1, dim + 1) if dim % d == 0 and torch.equal(row // d, column // d))
    blocks = A.view(len(A), dim // d, d, dim // d, d).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
    if torch.equal(blocks, blocks[:, :1].expand_as(blocks)):
        blocks = blocks[:, :1]
    return BlockDiagonal(blocks.contiguous(), dim)


def rotation_generators(rep: Representation, features: tuple[int, ...]) -> BlockDiagonal:
    """A_a = d/dt rho(R_a(t)) at t = 0 about a = x, y, z: three antisymmetric matrices, float64.

    Entries of rho(R_a(t)) are trigonometric polynomials in t of the degree l of rho, so that their derivative
    is an exact sum over equally spaced angles (degrees up to 8).

    >>> A = rotation_generators(twirl.Vectors(), (3,)).dense()
    >>> A[2].round().int()  # about z
    tensor([[ 0, -1,  0],
            [ 1,  0,  0],
            [ 0,  0,  0]], dtype=torch.int32)
    """
    n = 2 * _LARGEST_DEGREE + 1
    k = torch.arange(1, n, dtype=torch.float64)
    weights = (-1) ** (k + 1) / (2 * torch.sin(math.pi * k / n))
    turns = torch.cat([about_axis(axis, 2 * math.pi * k / n) for axis in "xyz"])
    rho = matrices(rep, turns, features)
    blocks = (weights.view(-1, 1, 1, 1) * rho.blocks.unflatten(0, (3, -1))).sum(1)
    return BlockDiagonal(torch.where(blocks.abs() < _ZERO, 0.0, blocks), rho.dim)
