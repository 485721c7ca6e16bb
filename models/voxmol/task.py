"""Training VoxMol, and the problems whose equivariance error the monitor measures (spec voxmol.md sections 5 and 6)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.datasets.geom_drugs import AtomBatch
from models.training.averaging import AveragedTask
from models.training.optimizer import optimizer
from models.training.sampling import stream_seed
from models.training.series import Series
from models.voxmol.augment import Pose, draw_pose
from models.voxmol.network import VoxMol
from models.voxmol.settings import VoxMolTaskSettings
from models.voxmol.voxels import outside, voxelise
from twirl.groups import AxisPreserving, Group, Octahedral, OnePerRow, TwoAxisTurns
from twirl.problem import Problem
from twirl.representations import OnePerRow as OfEachRow
from twirl.representations import Voxels
from twirl.rotations import enumerate_group

ROTATIONS = {"axis_preserving": AxisPreserving, "two_axis_turns": TwoAxisTurns, "octahedral": Octahedral}
# Last entries of a conformer's position in a random stream, one per use: two uses of one seed would be correlated.
_POSE, _NOISE = 1, 2


@dataclass(frozen=True)
class Draw:
    """The random numbers of a step: poses of the molecules, and standard normal noise (B, C, G, G, G)."""

    pose: Pose
    noise: Tensor


class VoxMolTask(AveragedTask):
    """Denoising of voxelised molecules by least squares."""

    def __init__(self, settings: VoxMolTaskSettings):
        super().__init__(VoxMol(settings.network), settings.ema_decay)
        self.settings, self.grid, self.monitor = settings, settings.grid, settings.monitor
        self.sigma = settings.sigma

    def on_fit_start(self) -> None:
        if self.settings.compile is not None:
            self.network.compile(backend=self.settings.compile)

    def draw_poses(self, batch: AtomBatch, seed: int, stream: str, *position: int) -> Pose:
        """A pose of every molecule, a function of (seed, position, conformer) in whichever process."""
        poses = [
            draw_pose(self.settings.augment, torch.Generator().manual_seed(k))
            for k in _seeds(batch, seed, stream, *position, use=_POSE)
        ]
        rotations, shifts = (torch.stack([getattr(p, f) for p in poses]) for f in ("rotation", "shift"))
        device = batch.channels.device
        return Pose(rotations.to(device), shifts.to(device))

    def draw(self, batch: AtomBatch, seed: int, stream: str, *position: int) -> Draw:
        """The random numbers of a step, functions of (seed, position, conformer); poses and noise are independent."""
        device, edge = batch.channels.device, (self.grid.size,) * 3
        noise = torch.empty(len(batch), self.network.config.elements, *edge, device=device)
        generator = torch.Generator(device)
        for one, k in zip(noise, _seeds(batch, seed, stream, *position, use=_NOISE), strict=True):
            one.normal_(generator=generator.manual_seed(k))
        return Draw(self.draw_poses(batch, seed, stream, *position), noise)

    def densities(self, batch: AtomBatch, pose: Pose) -> Tensor:
        """Clean densities (B, C, G, G, G) of posed molecules."""
        coordinates = pose(batch.coordinates, batch.channels)
        return voxelise(coordinates, batch.channels, self.grid, self.network.config.elements)

    def noised(self, clean: Tensor, noise: Tensor) -> Tensor:
        return torch.add(clean, noise, alpha=self.sigma)

    def training_step(self, batch: AtomBatch) -> dict[str, Tensor]:
        return self.step(
            batch, self.draw(batch, self.trainer.datamodule.seed, "view", self.trainer.global_step)
        )

    def step(self, batch: AtomBatch, draw: Draw) -> dict[str, Tensor]:
        """The summed squared error, and the other logged values of a step."""
        clean = self.densities(batch, draw.pose)
        found = self.network(self.noised(clean, draw.noise)).float()
        loss = (found - clean).square().sum()
        return {
            "loss": loss,
            "mse": loss.detach() / clean.numel(),
            "iou": overlap(found.detach(), clean),
        }

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer(self.settings.optimizer, self.network.parameters())

    def posed(self, batch: AtomBatch) -> tuple[Tensor, Tensor]:
        """Clean and noised densities of held-out molecules, each with its fixed pose and noise."""
        draw = self.draw(batch, self.monitor.seed, "test")
        clean = self.densities(batch, draw.pose)
        return clean, self.noised(clean, draw.noise)

    def twirl_problems(self, batch: AtomBatch) -> Mapping[str, Problem]:
        """Mean squared error per voxel and channel with the raw weights and with their exponential moving average.

        Rotations act on the noised density, including its noise, and are drawn separately for every molecule. The group
        "octahedral" averages exactly over all 24 rotations of the grid, on `full_twirl` molecules.
        """
        clean, noised = self.posed(batch)
        own = OnePerRow(ROTATIONS[self.monitor.rotations](), batch.conformers.tolist())
        problems = {
            series: density_problem(network, noised, clean, group=own)
            for series, network in self.networks.items()
        }
        some = slice(self.monitor.full_twirl)
        if self.monitor.full_twirl:
            problems[Series("ema", group="octahedral").key] = density_problem(
                self.ema.module, noised[some], clean[some]
            )
        return problems

    def facts(self) -> dict[str, object]:
        """For the run's summary: the number of validation molecules that, in their fixed poses, do not fit the grid."""
        batches = self.trainer.datamodule.validation_batches()
        counts = [(len(batch), int((self._outside(batch) > 0).sum())) for batch in batches]
        molecules, cut = map(sum, zip(*counts, strict=True))
        return {"cropped": {"validation_molecules": molecules, "with_atoms_outside_the_grid": cut}}

    def _outside(self, batch: AtomBatch) -> Tensor:
        """Number of atoms outside the grid, for each molecule in its validation pose: (B,)."""
        pose = self.draw_poses(batch, self.monitor.seed, "test")
        return outside(pose(batch.coordinates, batch.channels), batch.channels, self.grid)


def _seeds(batch: AtomBatch, seed: int, stream: str, *position: int, use: int) -> list[int]:
    """A seed for every conformer, for one use of random numbers."""
    return [stream_seed(seed, stream, *position, k, use) for k in batch.conformers.tolist()]


def density_problem(
    network: Callable[[Tensor], Tensor], noised: Tensor, clean: Tensor, group: Group | None = None
) -> Problem:
    """The twirling problem of densities to densities. group: one rotation of it per molecule; None: all 24."""
    turns = Voxels() if group is None else OfEachRow(Voxels())
    whole = enumerate_group(Octahedral()) if group is None else None
    return Problem(
        model=network, x=noised, y=clean, acts_on_x=turns, acts_on_y=turns, group=group, rotations=whole
    )


def overlap(found: Tensor, clean: Tensor) -> Tensor:
    """Intersection over union of the voxels above 1/2; 1 if there are none."""
    a, b = found > 0.5, clean > 0.5
    return ((a & b).sum() / (a | b).sum().clamp(min=1)).float() + (~(a | b).any()).float()
