"""Cases of `python -m models.bench baselines`: the published batch of 100 graphs of 5 particles, and a small one."""

from functools import partial

import torch

from models.baselines.network import build
from models.baselines.settings import BaselineConfig, BaselineTaskSettings
from models.bench import Case, network_of
from models.datasets.points import Points, complete_graph
from models.training.optimizer import optimizer

PARTICLES = 5


def case(config: BaselineConfig, graphs: int) -> Case:
    """A step of the published optimiser."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    index = complete_graph(PARTICLES, device)
    x, v, y = torch.randn(3, graphs, PARTICLES, 3, device=device)
    points = Points(x, v, x[..., :0], torch.randn(graphs, index.shape[1], 1, device=device))
    network = build(config).to(device)
    adam = optimizer(BaselineTaskSettings().optimizer, network.parameters())

    def step() -> None:
        (network(points, index) - y).square().mean().backward()
        adam.step()
        adam.zero_grad()

    return Case(step, graphs)


CASES = {
    f"{size}, {kind}": partial(case, BaselineConfig(**sizes | {"kind": kind}), graphs)
    for size, sizes, graphs in (("mini", network_of("mini", "baselines_nbody"), 50), ("published", {}, 100))
    for kind in ("egnn", "gnn", "rf", "linear")
}
