"""Exact Hessians of L_mean and L_equiv with respect to the last convolution (spec voxmol.md section 6.7).

The network is linear in it, so both losses are quadratic: their Hessians need neither targets nor derivatives, and
consist of one block, the same for every channel of the output.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.voxmol.network import VoxMol
from twirl.groups import inverse
from twirl.representations import Voxels

_VOXELS = 4096  # voxels whose patches are in memory at a time


@torch.no_grad()
def last_layer_hessians(network: VoxMol, y: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
    """The block of the mean-reduced L_mean and L_equiv, each (P, P) float64 with P = 27 channels + 1.

    y: (B, C, G, G, G). rotations: (R, 3, 3), of the grid. Rows are the weights that lead to one channel, in their
    order in memory, and its bias.
    """
    c, G = network.config, y.shape[-1]
    turn = Voxels()
    # For each voxel, the position of its patch in the rotated input.
    places = turn.act(inverse(rotations), torch.arange(G**3, device=y.device).view(1, 1, G, G, G))
    places = places.view(len(rotations), -1)
    block = torch.zeros(2, 27 * c.channels + 1, 27 * c.channels + 1, dtype=torch.float64, device=y.device)
    for one in y:
        maps = torch.cat([network.features(x) for x in turn.act(rotations, one[None, None])])
        for part in places.split(_VOXELS, dim=1):
            patches = torch.stack([_patches(h, at) for h, at in zip(maps, part, strict=True)])
            mean = patches.mean(0)
            rest = (patches - mean).flatten(0, 1)
            block[0] += mean.T @ mean
            block[1] += rest.T @ rest / len(rotations)
    block *= 2 / (len(y) * c.elements * G**3)
    return block[0], block[1]


def _patches(h: Tensor, at: Tensor) -> Tensor:
    """(n, 27 c + 1) float64: the 3^3 neighbourhoods of voxels `at` (n,) of h (c, G, G, G), zero-padded, and a one."""
    G = h.shape[-1]
    padded = F.pad(h.double(), (1,) * 6)
    i, j, k = at // G**2, at // G % G, at % G
    around = torch.cartesian_prod(*[torch.arange(3, device=h.device)] * 3)
    x, y, z = (torch.stack([i, j, k])[..., None] + around.T[:, None]).unbind(0)
    rows = padded[:, x, y, z].transpose(0, 1).flatten(1)
    return torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
