"""Cases of `python -m models.bench egno`: published sizes for motion capture and particles, and small sizes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from data.mocap.skeleton import edges as skeleton_edges
from models.bench import Case, network_of, relaxed_step
from models.egno import textbook
from models.egno.network import EGNO
from models.egno.settings import EGNOConfig
from twirl.relaxation import RECM, Method, Targets
from twirl.representations import Vectors

MINI, SUBSET = (EGNOConfig(**network_of(tier, "egno_mocap")) for tier in ("mini", "subset"))
PUBLISHED = EGNOConfig()


def batch(config: EGNOConfig, graphs: int, nodes: int, edges: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """The network's inputs and targets; all random except the edges."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    x, v = torch.randn(2, graphs, nodes, 3)
    y = torch.randn(graphs, config.frames, nodes, 3)
    h, edge_attr = torch.rand(graphs, nodes, config.node_features), torch.rand(graphs, edges.shape[1], 2)
    return tuple(a.to(device) for a in (x, v, h, edges, edge_attr)), y.to(device)


def case(config: EGNOConfig, graphs: int, nodes: int, edges: Tensor) -> Case:
    """A step of the published optimiser, compared with the plain formulas with the same weights."""
    inputs, y = batch(config, graphs, nodes, edges)
    network = EGNO(config).to(y.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4, weight_decay=1e-10, fused=True)

    def step_of(positions: Callable[..., Tensor]) -> Callable[[], None]:
        def step() -> None:
            (positions(*inputs) - y).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    by_formula = step_of(lambda *inputs: textbook.positions(network, *inputs))
    return Case(step_of(network), graphs, rival=(by_formula, "the plain formulas"))


def recm(config: EGNOConfig, graphs: int, nodes: int, edges: Tensor) -> Case:
    """A training step of RECM, compared with the plain network's."""
    relaxed = RECM(1e-4, Targets(Vectors(), 3), terms=("W", "b"))
    steps = [_trained(config, method, graphs, nodes, edges) for method in (relaxed, Method())]
    return Case(steps[0], graphs, beside={"the plain network": steps[1]})


def _trained(
    config: EGNOConfig, method: Method, graphs: int, nodes: int, edges: Tensor
) -> Callable[[], None]:
    """A training step as in models.egno.task."""
    inputs, y = batch(config, graphs, nodes, edges)
    seen = (y - inputs[0].mean(1, keepdim=True)[:, None]).transpose(0, 1)

    def error(network: nn.Module) -> Tensor:
        return (network(*inputs) - y).square().mean()

    return relaxed_step(EGNO(config).to(y.device), method, seen, error, lr=5e-4, weight_decay=1e-10)


def mocap(of: Callable[..., Case], config: EGNOConfig) -> Case:
    return of(config, 12, 31, torch.from_numpy(skeleton_edges()[0]))


def particles() -> Case:
    pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5)).mT
    return case(EGNOConfig(layers=4, hidden=64, node_features=1), 100, 5, pairs[:, pairs[0] != pairs[1]])


CASES = {
    "motion capture, mini (7k)": lambda: mocap(case, MINI),
    "motion capture, subset (39k)": lambda: mocap(case, SUBSET),
    "motion capture, published (1.2M)": lambda: mocap(case, PUBLISHED),
    "particles, published (202k)": particles,
    "motion capture, subset, RECM": lambda: mocap(recm, SUBSET),
    "motion capture, published, RECM": lambda: mocap(recm, PUBLISHED),
}
