"""Wigner matrices of O(3) on real spherical harmonics, to float64 precision, in e3nn's basis.

Components run over m = -l..l; the polar axis is y, and l = 1 is the vector (x, y, z) itself.
"""

# ruff: noqa: E741 (l is the degree, as everywhere)

import re
from functools import lru_cache

import torch
from torch import Tensor

_TERM = re.compile(r"(?:(\d+)x)?(\d+)([eo])")


def parse_irreps(irreps: str) -> list[tuple[int, int, int]]:
    """(multiplicity, l, parity) of every term of "8x0e + 4x1o"; ValueError for anything else.

    >>> parse_irreps("8x0e + 4x1o")
    [(8, 0, 1), (4, 1, -1)]
    """
    terms = [_TERM.fullmatch(term.strip()) for term in str(irreps).split("+")]
    if not all(terms):
        raise ValueError(f"irreps are written like '8x0e + 4x1o', not {str(irreps)!r}.")
    return [(int(m or 1), int(l), 1 if p == "e" else -1) for m, l, p in (term.groups() for term in terms)]


def wigner_D(l: int, p: int, g: Tensor) -> Tensor:
    """D(g): (R, 2l+1, 2l+1) float64 of orthogonal matrices g (R, 3, 3); parity p = 1 (even) or -1 (odd).

    D(gh) = D(g) D(h), D(g^-1) = D(g)^T, D(inversion) = p, and for l = 1, p = -1: D(g) = g.
    The Euler angles come from atan2, never from acos, which loses half the digits near the poles.

    >>> g, h = twirl.SO3().sample(2)[:, None]
    >>> torch.allclose(wigner_D(2, 1, g @ h), wigner_D(2, 1, g) @ wigner_D(2, 1, h))
    True
    """
    g = g.double()
    sign = torch.linalg.det(g).sign()
    g = g * sign[:, None, None]
    x, y, z = g[:, 0, 1], g[:, 1, 1], g[:, 2, 1]  # where the polar axis goes
    alpha, beta = torch.atan2(x, z), torch.atan2(torch.hypot(x, z), y)
    rest = _axis_to(alpha, beta).mT @ g
    gamma = torch.atan2(rest[:, 0, 2], rest[:, 0, 0])
    D = _about_pole(l, alpha) @ _tilt(l, beta) @ _about_pole(l, gamma)
    return D * torch.where(sign < 0, float(p), 1.0)[:, None, None]


def _axis_to(alpha: Tensor, beta: Tensor) -> Tensor:
    """The rotations (R, 3, 3) by beta about x, then by alpha about y."""
    return _about_pole(1, alpha) @ _tilt(1, beta)


def _about_pole(l: int, angle: Tensor) -> Tensor:
    """Rotation about y: the pair (-m, m) ~ (sin m phi, cos m phi) turns by m times the angle."""
    m = torch.arange(-l, l + 1, device=angle.device)
    turns = m * angle[:, None]
    return torch.diag_embed(turns.cos()) + torch.diag_embed(-turns.sin()).flip(-1) * (m != 0)[None, :, None]


def _tilt(l: int, angle: Tensor) -> Tensor:
    """Rotation about x."""
    return torch.matrix_exp(angle[:, None, None] * _tilt_generator(l).to(angle.device))


@lru_cache
def _tilt_generator(l: int) -> Tensor:
    """-i J_y in the real basis: (J_- - J_+) / 2 carried over from the complex harmonics."""
    m = torch.arange(-l, l, dtype=torch.float64)
    raising = torch.diag((l * (l + 1) - m * (m + 1)).sqrt(), -1)  # <m + 1| J_+ |m>
    U = torch.zeros(2 * l + 1, 2 * l + 1, dtype=torch.complex128)  # real harmonic = U complex harmonic
    U[l, l] = 1
    for k in range(1, l + 1):
        U[l + k, l - k], U[l + k, l + k] = 0.5**0.5, (-1) ** k * 0.5**0.5
        U[l - k, l - k], U[l - k, l + k] = 1j * 0.5**0.5, -1j * (-1) ** k * 0.5**0.5
    return (U @ ((raising.T - raising) / 2).to(U.dtype) @ U.conj().T).real
