"""Training EScAIP, and the problems whose equivariance error the monitor measures (spec escaip.md 4 and 5)."""

from collections.abc import Mapping

from torch import Tensor

from models.datasets.spice import MoleculeBatch
from models.escaip.closed_form import exact_losses, head_variance
from models.escaip.network import EScAIP, ForceTerms, Geometry
from models.escaip.settings import EScAIPTaskSettings
from models.training.averaging import AveragedTask
from models.training.optimizer import optimizer, scheduled
from twirl.problem import Problem
from twirl.representations import Scalars, Tree, Vectors

# How the factors of the force head transform when the molecule rotates.
FORCE_TERMS = Tree({"coefficients": Scalars(), "magnitude": Scalars(), "direction": Vectors()})


class EScAIPTask(AveragedTask):
    """Direct-force training of EScAIP: weighted energy MAE and mean L2 norm of the force error."""

    def __init__(self, settings: EScAIPTaskSettings):
        super().__init__(EScAIP(settings.network), settings.ema_decay)
        self.settings = settings

    def loss(self, batch: MoleculeBatch) -> tuple[Tensor, Tensor]:
        """Mean |E' - E'_target| over molecules and mean ||F' - F'_target||_2 over atoms."""
        energy, forces = self.network(
            batch.positions, batch.atomic_numbers, batch.graph_index, batch.num_graphs
        )
        return self.errors(energy, forces, batch)

    @staticmethod
    def errors(energy: Tensor, forces: Tensor, batch: MoleculeBatch) -> tuple[Tensor, Tensor]:
        """The two terms of the loss for given predictions (B,) and (N, 3)."""
        return (energy - batch.energy).abs().mean(), (forces - batch.forces).norm(dim=1).mean()

    def weighted(self, energy: Tensor, force: Tensor) -> Tensor:
        """The training loss: the weighted sum of the two terms."""
        return self.settings.energy_weight * energy + self.settings.force_weight * force

    def training_step(self, batch: MoleculeBatch) -> dict[str, Tensor]:
        energy, force = self.loss(batch)
        return {
            "loss": self.weighted(energy, force),
            "energy_mae": energy.detach(),
            "force_norm": force.detach(),
            "head_variance": head_variance(self.network).detach(),
        }

    def configure_optimizers(self) -> dict:
        # The official rule goes by name: it also exempts the embeddings' linear layers, but not RMSNorm weights.
        exempt = [p for name, p in self.network.named_parameters() if "embedding" in name or "bias" in name]
        decayed = [
            p for name, p in self.network.named_parameters() if "embedding" not in name and "bias" not in name
        ]
        groups = [
            {"params": decayed},
            {"params": exempt, "weight_decay": 0.0},
        ]
        return scheduled(optimizer(self.settings.optimizer, groups), self.settings.schedule)

    def twirl_problems(self, batch: MoleculeBatch) -> Mapping[str, Problem]:
        """Force MSE of the raw weights and of their exponential moving average on one batch.

        Only the directions rotate with the molecule, so the backbone runs once and only the head is twisted;
        a test compares this with rotating the positions.
        """
        geometry = self.network.geometry(
            batch.positions, batch.atomic_numbers, batch.graph_index, batch.num_graphs
        )
        return {series: force_problem(network, geometry, batch) for series, network in self.networks.items()}


def force_problem(network: EScAIP, geometry: Geometry, batch: MoleculeBatch) -> Problem:
    """The twirling problem of the force head of `network` on `batch`, with the exact split of its loss."""
    if geometry.graph.isolated.any():
        atom = int(geometry.graph.isolated.nonzero()[0])
        conformation = int(batch.conformations[batch.graph_index[atom]])
        raise ValueError(
            f"conformation {conformation} has an atom without neighbours within {network.config.max_radius} "
            "Angstrom, whose force direction does not rotate with the molecule: leave it out or raise max_radius"
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
