"""Cases of `python -m models.bench voxmol`: training steps at the mini and at published sizes, and the voxeliser.

On a GPU the published sizes take eight molecules at 64^3 in bfloat16. On a CPU the 7M network takes one at 64^3, and
the 111M network one at 32^3, an eighth of the work, in float32. The rival is the step as the official code computes
it: the network's plain formulas, channels first, an optimiser that goes through the parameters one by one, and the
voxeliser by logarithms.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from models.bench import Case, network_of
from models.datasets.geom_drugs import AtomBatch
from models.voxmol import textbook
from models.voxmol.settings import PUBLISHED, GridConfig, VoxMolConfig, VoxMolTaskSettings
from models.voxmol.task import VoxMolTask
from models.voxmol.voxels import smooth_density, voxelise

MINI = network_of("mini", "voxmol")
ATOMS = 44  # average of a molecule of GEOM-Drugs


def random_molecules(count: int, atoms: int, extent: float) -> AtomBatch:
    """Atoms in a cloud of this standard deviation [Angstrom], half of them hydrogen, most others carbon."""
    generator = torch.Generator().manual_seed(0)
    shares = torch.tensor([0.4, 0.5, 0.05, 0.05])
    channels = torch.multinomial(shares, count * atoms, replacement=True, generator=generator)
    coordinates = extent * torch.randn(count, atoms, 3, generator=generator)
    return AtomBatch(coordinates, channels.view(count, atoms), torch.arange(count))


def task_of(sizes: dict, grid: GridConfig, device: torch.device) -> VoxMolTask:
    torch.manual_seed(0)
    return VoxMolTask(VoxMolTaskSettings(network=VoxMolConfig(**sizes), grid=grid)).to(device)


def case(sizes: dict, grid: GridConfig, batch: AtomBatch) -> Case:
    """All work of a training step on the training device."""
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    batch = batch.to(device)

    def step_of(task: VoxMolTask, densities, network, update) -> Callable[[], None]:
        def step() -> None:
            draw = task.draw(batch, 0, "view", 0)
            clean = densities(draw.pose(batch.coordinates, batch.channels), batch.channels)
            with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
                found = network(task.noised(clean, draw.noise))
            (found.float() - clean).square().sum().backward()
            update()

        return step

    own, plain = task_of(sizes, grid, device), task_of(sizes | {"channels_last": False}, grid, device)
    optimizer, plainly = own.configure_optimizers(), textbook.PlainTraining(plain.network, plain.ema.module)
    count = own.network.config.elements

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()
        own.ema.update_parameters(own.network)

    def fast(coordinates: Tensor, channels: Tensor) -> Tensor:
        return voxelise(coordinates, channels, grid, count)

    def plain_density(coordinates: Tensor, channels: Tensor) -> Tensor:
        return smooth_density(coordinates, channels, grid, count)

    def by_formula(y: Tensor) -> Tensor:
        return textbook.predict(plain.network, y)

    return Case(
        step_of(own, fast, own.network, update),
        len(batch),
        rival=(
            step_of(plain, plain_density, by_formula, plainly.update),
            "the same step by the plain formulas",
        ),
    )


def published(name: str, size: int) -> Case:
    count = 1
    if torch.cuda.is_available():
        size, count = 64, 8
    return case(PUBLISHED[name], GridConfig(size=size), random_molecules(count, ATOMS, size / 64 * 2.5))


def voxeliser() -> Case:
    """Voxelisation of molecules at the published size, 64^3 x 8."""
    grid, count = GridConfig(), VoxMolConfig().elements
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = random_molecules(16, ATOMS, 2.5).to(device)
    return Case(
        lambda: voxelise(batch.coordinates, batch.channels, grid, count),
        len(batch),
        rival=(
            lambda: smooth_density(batch.coordinates, batch.channels, grid, count),
            "sums of logarithms",
        ),
    )


def mini() -> Case:
    return case(MINI, GridConfig(size=12, resolution=0.5, half_window=3), random_molecules(8, 12, 1.0))


CASES = {
    "mini (92k)": mini,
    "7M": lambda: published("7M", 64),
    "111M": lambda: published("111M", 32),
    "voxeliser": voxeliser,
}
