"""Training EScAIP and saying what of it is to be twirled (spec escaip.md 4 and 5)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from models.datasets.spice import MoleculeBatch
from models.escaip.closed_form import exact_losses, head_variance
from models.escaip.network import EScAIP, EScAIPConfig, ForceTerms, Geometry
from models.training.averaging import AveragedTask
from twirl.problem import Problem
from twirl.representations import Scalars, Tree, Vectors

# How the factors of the force head turn with the molecule.
FORCE_TERMS = Tree({"coefficients": Scalars(), "magnitude": Scalars(), "direction": Vectors()})


@dataclass
class OptimizerConfig:
    """name: the optimiser. lr: peak learning rate. weight_decay: not applied to embeddings and biases."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-5
    weight_decay: float = 0.01


@dataclass
class ScheduleConfig:
    """Multiplier of the learning rate at step s, with a linear warm-up from `warmup_factor` to 1.

    kind "cosine": falls from 1 to `final_factor` over `total_steps`, counted from step 0 as upstream does;
    "constant": stays at 1.
    """

    kind: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = 1484
    warmup_factor: float = 0.2
    total_steps: int = 445470
    final_factor: float = 0.5

    def __call__(self, step: int) -> float:
        if step <= self.warmup_steps and self.warmup_steps > 0:
            done = step / self.warmup_steps
            return self.warmup_factor * (1 - done) + done
        if self.kind == "constant":
            return 1.0
        cosine = 0.5 * (1 + math.cos(math.pi * min(step / self.total_steps, 1.0)))
        return self.final_factor + (1 - self.final_factor) * cosine


class EScAIPTask(AveragedTask):
    """Direct-force training of EScAIP: weighted energy MAE and mean L2 norm of the force error.

    network, optimizer, schedule: see the classes. ema_decay: of the averaged weights, from step 0 without bias
    correction. energy_weight, force_weight: of the two terms.
    """

    def __init__(
        self,
        network: EScAIPConfig,
        optimizer: OptimizerConfig,
        schedule: ScheduleConfig,
        ema_decay: float = 0.999,
        energy_weight: float = 4.0,
        force_weight: float = 100.0,
    ):
        super().__init__(EScAIP(network), ema_decay)
        self.optimizer, self.schedule = optimizer, schedule
        self.energy_weight, self.force_weight = energy_weight, force_weight

    def loss(self, batch: MoleculeBatch) -> tuple[Tensor, Tensor]:
        """Mean |E' - E'_target| over molecules and mean ||F' - F'_target||_2 over atoms."""
        energy, forces = self.network(
            batch.positions, batch.atomic_numbers, batch.graph_index, batch.num_graphs
        )
        return self.errors(energy, forces, batch)

    @staticmethod
    def errors(energy: Tensor, forces: Tensor, batch: MoleculeBatch) -> tuple[Tensor, Tensor]:
        """The two terms for given predictions (B,) and (N, 3)."""
        return (energy - batch.energy).abs().mean(), (forces - batch.forces).norm(dim=1).mean()

    def training_step(self, batch: MoleculeBatch) -> dict[str, Tensor]:
        energy, force = self.loss(batch)
        return {
            "loss": self.energy_weight * energy + self.force_weight * force,
            "energy_mae": energy.detach(),
            "force_norm": force.detach(),
            "head_variance": head_variance(self.network).detach(),
        }

    def configure_optimizers(self) -> dict:
        # Upstream's rule goes by name: the embeddings' linear layers are exempt too, RMSNorm weights are not.
        exempt = [p for name, p in self.network.named_parameters() if "embedding" in name or "bias" in name]
        decayed = [
            p for name, p in self.network.named_parameters() if "embedding" not in name and "bias" not in name
        ]
        groups = [
            {"params": decayed, "weight_decay": self.optimizer.weight_decay},
            {"params": exempt, "weight_decay": 0.0},
        ]
        kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[self.optimizer.name]
        optimizer = kind(groups, lr=self.optimizer.lr, fused=True)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def twirl_problems(self, batch: MoleculeBatch) -> Mapping[str, Problem]:
        """Force MSE of the raw and of the averaged weights on one batch.

        Only the directions turn with the molecule, so the backbone runs once and the head is twisted alone;
        a test holds this against rotating the positions.
        """
        geometry = self.network.geometry(
            batch.positions, batch.atomic_numbers, batch.graph_index, batch.num_graphs
        )
        return {series: force_problem(network, geometry, batch) for series, network in self.networks.items()}


def force_problem(network: EScAIP, geometry: Geometry, batch: MoleculeBatch) -> Problem:
    """The force head of `network` on `batch`, whose geometry is given, to twirl; with its exact split."""
    if geometry.graph.isolated.any():
        atom = int(geometry.graph.isolated.nonzero()[0])
        conformation = int(batch.conformations[batch.graph_index[atom]])
        raise ValueError(
            f"conformation {conformation} has an atom without neighbours within {network.config.max_radius} "
            "Angstrom, whose force direction does not turn with the molecule: leave it out or raise max_radius"
        )
    terms = network.force_terms(network.latents(geometry))
    return Problem(
        model=ForceTerms.forces,
        x=terms,
        y=batch.forces,
        acts_on_x=FORCE_TERMS,
        acts_on_y=Vectors(),
        sample_index=batch.graph_index,
        exact=lambda: exact_losses(terms, batch.forces, batch.graph_index, batch.num_graphs),
    )
