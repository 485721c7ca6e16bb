"""Does the bottleneck turn with the molecule? Cosines between latents of rotated inputs (spec voxmol.md 6.6)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor

from models.training.files import replacing
from models.training.sampling import stream_seed
from models.voxmol.network import VoxMol
from twirl.groups import about_axis
from twirl.monitor import undisturbed
from twirl.representations import Voxels

COLUMNS = ("sample", "axis", "angle", "kind", "cosine")
QUARTERS = range(5)  # 0 to 360 degrees


@dataclass
class LatentConfig:
    """molecules: of the validation split; 0 records nothing. batch_size: of them at once. noise: "turned" with the
    density, so that 0 and 360 degrees are the same input, or "fresh" for every rotation.
    """

    molecules: int = 1000
    batch_size: int = 16
    noise: Literal["turned", "fresh"] = "turned"


class RecordLatents(Callback):
    """Writes latents.parquet beside the results of a run that has taken its last step, of the averaged weights."""

    def __init__(self, config: LatentConfig):
        self.config = config

    def on_train_end(self, trainer, pl_module) -> None:
        done = trainer.global_step >= trainer.max_steps
        if not (self.config.molecules and done and trainer.is_global_zero):
            return
        batches = trainer.datamodule.validation_batches(self.config.molecules, self.config.batch_size)
        parts, before = [], 0
        with undisturbed(pl_module, stream_seed(pl_module.monitor.seed, "test")):
            for batch in batches:
                clean, noised = pl_module.posed(batch.to(pl_module.device))
                fresh = (clean, pl_module.sigma) if self.config.noise == "fresh" else None
                rows = pd.DataFrame(cosines(pl_module.ema.module, noised, fresh), columns=COLUMNS)
                parts.append(rows.assign(sample=rows["sample"] + before))
                before += len(batch)
        with replacing(Path(trainer.default_root_dir) / "latents.parquet") as temporary:
            pd.concat(parts).to_parquet(temporary, index=False)


def rotated_latents(network: VoxMol, y: Tensor, R: Tensor) -> Tensor:
    """The bottleneck phi(R y), (B, c, g, g, g), for densities y (B, C, G, G, G) turned by a rotation R (1, 3, 3)."""
    return network.latents(Voxels().act(R, y[None])[0])


def cosines(
    network: VoxMol, y: Tensor, fresh: tuple[Tensor, float] | None = None
) -> Iterator[tuple[int, str, int, str, float]]:
    """Rows (sample, axis, angle in degrees, kind, cosine) of noised densities y (B, C, G, G, G) of B molecules.

    kind "unpooled": of R phi(y) and phi(R y), 1 if latents turn with the molecule. "pooled": of their means over
    voxels, 1 if those do not change. "other molecule", "other molecule, unpooled": of phi(y) and of the next one's, at
    axis "" and angle 0. fresh: clean densities and the noise's standard deviation, to draw noise anew for every R.
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
    if len(y) > 1:
        other = phi.roll(1, 0)
        yield from _rows("", 0, "other molecule", pooled(phi), pooled(other))
        yield from _rows("", 0, "other molecule, unpooled", phi, other)


def pooled(latents: Tensor) -> Tensor:
    """Means over voxels, (B, c)."""
    return latents.mean((2, 3, 4))


def _rows(axis: str, angle: int, kind: str, a: Tensor, b: Tensor) -> Iterator[tuple]:
    for sample, cosine in enumerate(F.cosine_similarity(a.flatten(1), b.flatten(1)).tolist()):
        yield sample, axis, angle, kind, cosine
