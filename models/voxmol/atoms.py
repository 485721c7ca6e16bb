"""Atoms from a density: peaks, and their refinement (spec voxmol.md section 7)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.voxmol.settings import GridConfig
from models.voxmol.voxels import smooth_density

THRESHOLD = 0.25  # lower densities are ignored
MOST_ATOMS = 200  # a grid with this many peaks is not a molecule
_OUTER_STEPS, _TOLERANCE = 10, 1e-6


@dataclass(frozen=True)
class Atoms:
    """K atoms. coordinates: (K, 3) [Angstrom] relative to their mean. channels: (K,)."""

    coordinates: Tensor
    channels: Tensor

    def __len__(self) -> int:
        return len(self.channels)


def find_peaks(density: Tensor, grid: GridConfig) -> Atoms:
    """The voxels of a density (C, G, G, G) above THRESHOLD and above all of their 26 neighbours, channel by channel.

    A voxel on a face of the grid is never a peak: beyond the face its own value is repeated. Raises ValueError for a
    density with values that are not finite.
    """
    if not density.isfinite().all():
        raise ValueError(
            "peaks: the density has values that are NaN or infinite, so it represents no molecule"
        )
    density = density.where(density >= THRESHOLD, 0)
    highest = F.max_pool3d(density[None], 3, stride=1, padding=1)[0]
    candidates = ((density == highest) & (density > 0)).nonzero()
    inner = ((candidates[:, 1:] > 0) & (candidates[:, 1:] < grid.size - 1)).all(1)
    candidates = candidates[inner]
    around = torch.cartesian_prod(*[torch.arange(-1, 2, device=density.device)] * 3)
    channel = candidates[:, :1]
    i, j, k = (candidates[:, None, 1:] + around).unbind(-1)
    neighbours = density[channel, i, j, k]
    alone = (neighbours >= density[tuple(candidates.T)][:, None]).sum(1) == 1
    found = candidates[alone]
    coordinates = (found[:, 1:] - grid.size / 2) * grid.resolution
    return Atoms(coordinates - coordinates.mean(0), found[:, 0])


def refine(atoms: Atoms, density: Tensor, grid: GridConfig) -> Atoms:
    """Moves atoms (1 <= K < MOST_ATOMS) so that their density approaches `density` (C, G, G, G).

    L-BFGS minimises the mean squared difference of the densities, and thereby also moves the atoms from their centred
    coordinates to where the density is. If it fails, the atoms are returned unchanged.
    """
    target = density.where(density >= THRESHOLD, 0)
    coordinates = atoms.coordinates.clone().requires_grad_()
    search = torch.optim.LBFGS(
        [coordinates], lr=1, max_iter=4, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        search.zero_grad()
        own = smooth_density(coordinates[None], atoms.channels[None], grid, len(target))[0]
        value = F.mse_loss(own, target)
        value.backward()
        return value

    before = None
    with torch.enable_grad():
        for _ in range(_OUTER_STEPS):
            now = search.step(loss).item()
            if before is not None and abs(before - now) < _TOLERANCE:
                break
            before = now
    found = coordinates.detach()
    return Atoms(found, atoms.channels) if found.isfinite().all() else atoms
