"""Does the bottleneck turn with the molecule? Cosines between latents of rotated inputs (spec voxmol.md 6.6)."""

import math
from collections.abc import Iterator

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from analysis.measure.settings import LatentsSettings
from analysis.measure.trained import Trained
from models.training.sampling import stream_seed
from models.voxmol.network import VoxMol
from twirl.groups import about_axis
from twirl.monitor import undisturbed
from twirl.representations import Voxels

COLUMNS = ("sample", "axis", "angle", "kind", "cosine")
QUARTERS = range(5)  # 0 to 360 degrees


def measure(network: Trained, settings: LatentsSettings) -> pd.DataFrame:
    """Cosines of the averaged weights' bottlenecks; columns as `cosines` gives them.

    Molecules come in a seeded random order, so that pairs of neighbours are random pairs of all.
    """
    module = network.module
    seed = stream_seed(module.settings.monitor.seed, "test")
    batches = network.data.validation_batches(settings.molecules, settings.batch_size, shuffle=seed)
    parts, before = [], 0
    with undisturbed(module, seed):
        for batch in batches:
            clean, noised = module.posed(batch.to(module.device))
            fresh = (clean, module.sigma) if settings.noise == "fresh" else None
            rows = pd.DataFrame(cosines(module.ema.module, noised, fresh), columns=COLUMNS)
            parts.append(rows.assign(sample=rows["sample"] + before))
            before += len(batch)
    return pd.concat(parts, ignore_index=True)


def rotated_latents(network: VoxMol, y: Tensor, R: Tensor) -> Tensor:
    """The bottleneck phi(R y), (B, c, g, g, g), for densities y (B, C, G, G, G) turned by a rotation R (1, 3, 3)."""
    return network.latents(Voxels().act(R, y[None])[0])


def cosines(
    network: VoxMol, y: Tensor, fresh: tuple[Tensor, float] | None = None
) -> Iterator[tuple[int, str, int, str, float]]:
    """Rows (sample, axis, angle in degrees, kind, cosine) of noised densities y (B, C, G, G, G) of B molecules.

    kind "unpooled": of R phi(y) and phi(R y), 1 if latents turn with the molecule. "pooled": of their means over
    voxels, 1 if those do not change. "other molecule", "other molecule, unpooled": of phi(y) of the first two
    molecules, of the next two, and so on, each in one pair at most, at axis "" and angle 0; sample is the pair's
    first. fresh: clean densities and the noise's standard deviation, to draw noise anew for every R.
    """
    phi = network.latents(y)
    for axis in "xyz":
        for quarters in QUARTERS:
            angle = torch.tensor([quarters * math.pi / 2], dtype=torch.float64)
            R = about_axis(axis, angle).round().to(y.device)
            given = y if fresh is None else fresh[0] + fresh[1] * torch.randn_like(y)
            found, expected = rotated_latents(network, given, R), Voxels().act(R, phi[None])[0]
            yield from _rows(axis, 90 * quarters, "unpooled", found, expected)
            yield from _rows(axis, 90 * quarters, "pooled", pooled(found), pooled(phi))
    pairs = len(y) // 2
    one, other = phi[: 2 * pairs : 2], phi[1 : 2 * pairs : 2]
    yield from _rows("", 0, "other molecule", pooled(one), pooled(other), step=2)
    yield from _rows("", 0, "other molecule, unpooled", one, other, step=2)


def pooled(latents: Tensor) -> Tensor:
    """Means over voxels, (B, c)."""
    return latents.mean((2, 3, 4))


def _rows(axis: str, angle: int, kind: str, a: Tensor, b: Tensor, step: int = 1) -> Iterator[tuple]:
    """step: samples from one row of a and b to the next."""
    for row, cosine in enumerate(F.cosine_similarity(a.flatten(1), b.flatten(1)).tolist()):
        yield step * row, axis, angle, kind, cosine
