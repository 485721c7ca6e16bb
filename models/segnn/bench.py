"""Cases of `python -m models.bench segnn`: the published batch of 100 graphs of 5 particles, and the mini size."""

from collections.abc import Callable

import torch
from torch import nn

from models.bench import Case
from models.segnn.network import SEGNN, SEGNNConfig
from models.segnn.steerable import SteerableSEGNN


def case(config: SEGNNConfig, graphs: int, compiled: bool = False) -> Case:
    """A step of the published optimiser, ours against e3nn's products along a list of edges."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = torch.Generator().manual_seed(0)
    x, v, y = torch.randn(3, graphs, config.particles, 3, generator=generator).to(device)
    charges = torch.randint(0, 2, x.shape[:2], generator=generator).to(x) * 2 - 1

    def step_of(network: nn.Module) -> Callable[[], None]:
        network = network.to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=9e-4, fused=True)

        def step() -> None:
            (network(x, v, charges) - y).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    by_e3nn = step_of(SteerableSEGNN(config)), "e3nn's products, edge by edge"
    ours = SEGNN(config)
    if compiled:
        for layer in ours.layers:
            layer.compile_messages()
    return Case(step_of(ours), graphs, rival=by_e3nn)


CASES = {
    "mini (5k)": lambda: case(SEGNNConfig(hidden_features=16, layers=2), graphs=50),
    "published (147k)": lambda: case(SEGNNConfig(), graphs=100),
    "published (147k), messages compiled": lambda: case(SEGNNConfig(), graphs=100, compiled=True),
}
