"""Cases of `python -m models.bench escaip`: eight molecules of twenty atoms at the mini and published sizes."""

import torch
from torch import Tensor, nn

from models.bench import Case, network_of
from models.datasets.spice import MoleculeBatch
from models.escaip import textbook
from models.escaip.settings import EScAIPConfig, EScAIPTaskSettings
from models.escaip.task import EScAIPTask
from twirl.metric import EquivarianceError
from twirl.rotations import rotation_set

MOLECULES, ATOMS, ROTATIONS = 8, 20, 10
MINI = EScAIPConfig(**network_of("mini", "escaip"))


def random_batch() -> MoleculeBatch:
    """Clusters on a jittered cubic lattice, about as dense as molecules."""
    generator = torch.Generator().manual_seed(0)
    sites = torch.cartesian_prod(*[torch.arange(3.0)] * 3)[:ATOMS]
    jitter = 0.2 * torch.randn(MOLECULES, ATOMS, 3, generator=generator)
    n = MOLECULES * ATOMS
    return MoleculeBatch(
        positions=(1.4 * sites + jitter).reshape(n, 3),
        atomic_numbers=torch.randint(1, 9, (n,), generator=generator),
        graph_index=torch.arange(MOLECULES).repeat_interleave(ATOMS),
        energy=torch.randn(MOLECULES, generator=generator),
        forces=torch.randn(n, 3, generator=generator),
        conformations=torch.arange(MOLECULES),
    )


def case(config: EScAIPConfig) -> Case:
    """A training step as in models.training, and the monitor's measurement on as many molecules."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task = EScAIPTask(EScAIPTaskSettings(network=config)).to(device)
    optimizer = task.configure_optimizers()["optimizer"]
    batch = random_batch().to(device)
    rotations = rotation_set("iid", ROTATIONS).to(device)

    def update(loss: Tensor) -> None:
        loss.backward()
        nn.utils.clip_grad_norm_(task.network.parameters(), 10.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad()
        task.ema.update_parameters(task.network)

    def step() -> None:
        task.train()
        update(task.training_step(batch)["loss"])

    def by_formula() -> None:
        task.train()
        inputs = (batch.positions, batch.atomic_numbers, batch.graph_index, batch.num_graphs)
        energy, forces = textbook.predict(task.network, *inputs)
        energy_error, force_error = task.errors(energy, forces, batch)
        update(task.weighted(energy_error, force_error))

    @torch.no_grad()
    def measure() -> None:
        task.eval()
        for problem in task.twirl_problems(batch).values():
            metric = EquivarianceError(ROTATIONS).to(device)
            metric.update(problem.twist(rotations), problem.y, problem.sample_index, problem.exact())
            metric.compute()

    return Case(
        step, MOLECULES, measure, cadence=20, rival=(by_formula, "the same step by the plain formulas")
    )


CASES = {"mini (104k)": lambda: case(MINI), "published (6.1M)": lambda: case(EScAIPConfig())}
