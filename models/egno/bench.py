"""Cases of `python -m models.bench egno`: published sizes for motion capture and particles, and the small size."""

from collections.abc import Callable

import torch
from torch import Tensor

from data.mocap.skeleton import edges as skeleton_edges
from models.bench import Case
from models.egno import textbook
from models.egno.network import EGNO, EGNOConfig


def case(config: EGNOConfig, graphs: int, nodes: int, edges: Tensor) -> Case:
    """A step of the published optimiser, ours against the formulas as they stand, with the same weights."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    network = EGNO(config).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4, weight_decay=1e-10, fused=True)
    x, v = torch.randn(2, graphs, nodes, 3)
    y = torch.randn(graphs, config.frames, nodes, 3)
    h, edge_attr = torch.rand(graphs, nodes, config.node_features), torch.rand(graphs, edges.shape[1], 2)
    x, v, h, edge_attr, edges, y = (a.to(device) for a in (x, v, h, edge_attr, edges, y))

    def step_of(positions: Callable[..., Tensor]) -> Callable[[], None]:
        def step() -> None:
            (positions(x, v, h, edges, edge_attr) - y).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    by_formula = step_of(lambda *inputs: textbook.positions(network, *inputs))
    return Case(step_of(network), graphs, rival=(by_formula, "the formulas as they stand"))


def mocap(config: EGNOConfig) -> Case:
    return case(config, 12, 31, torch.from_numpy(skeleton_edges()[0]))


def particles() -> Case:
    pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5)).mT
    return case(EGNOConfig(layers=4, hidden=64, node_features=1), 100, 5, pairs[:, pairs[0] != pairs[1]])


CASES = {
    "motion capture, mini (39k)": lambda: mocap(EGNOConfig(layers=3, hidden=32)),
    "motion capture, published (1.2M)": lambda: mocap(EGNOConfig()),
    "particles, published (202k)": particles,
}
