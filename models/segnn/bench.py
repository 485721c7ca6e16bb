"""Cases of `python -m models.bench segnn`: the published batch of 100 graphs of 5 particles, and the mini size."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.bench import Case, network_of, relaxed_step
from models.segnn.network import SEGNN
from models.segnn.settings import SEGNNConfig
from models.segnn.steerable import SteerableSEGNN
from twirl.relaxation import RECM, Method, Targets
from twirl.representations import Vectors

MINI, PUBLISHED = SEGNNConfig(**network_of("mini", "segnn")), SEGNNConfig()


def batch(config: SEGNNConfig, graphs: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, v, y and charges of random particles."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = torch.Generator().manual_seed(0)
    x, v, y = torch.randn(3, graphs, config.particles, 3, generator=generator).to(device)
    return x, v, y, torch.randint(0, 2, x.shape[:2], generator=generator).to(x) * 2 - 1


def case(config: SEGNNConfig, graphs: int, compiled: bool = False) -> Case:
    """A step of the published optimiser, compared with e3nn's products on a list of edges."""
    x, v, y, charges = batch(config, graphs)

    def step_of(network: nn.Module) -> Callable[[], None]:
        network = network.to(x.device)
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


def recm(config: SEGNNConfig, graphs: int) -> Case:
    """A training step of RECM, compared with the plain network's."""
    relaxed = RECM(1e-3, Targets(Vectors(), 3), terms=("W", "b"))
    plain = _trained(config, Method(), graphs)
    return Case(_trained(config, relaxed, graphs), graphs, beside={"the plain network": plain})


def _trained(config: SEGNNConfig, method: Method, graphs: int) -> Callable[[], None]:
    """A step as models.segnn.task takes it."""
    x, v, y, charges = batch(config, graphs)

    def error(network: nn.Module) -> Tensor:
        return (network(x, v, charges) - y).square().mean()

    return relaxed_step(SEGNN(config).to(x.device), method, y, error, lr=9e-4)


CASES = {
    "mini (5k)": lambda: case(MINI, graphs=50),
    "published (147k)": lambda: case(PUBLISHED, graphs=100),
    "published (147k), messages compiled": lambda: case(PUBLISHED, graphs=100, compiled=True),
    "mini, RECM": lambda: recm(MINI, graphs=50),
    "published, RECM": lambda: recm(PUBLISHED, graphs=100),
}
