"""Cases of `python -m models.bench vn_pointnet`: the published batch of 24 clouds of 300 points, and the mini size."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from models.bench import Case
from models.vn_pointnet import textbook
from models.vn_pointnet.network import VNPointNet, VNPointNetConfig


def case(config: VNPointNetConfig, clouds: int, points: int) -> Case:
    """A step of the published optimiser, ours against the formulas as they stand, with the same weights."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = VNPointNet(config).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(clouds, points, 3, generator=generator)
    x = (x / x.norm(dim=-1, keepdim=True).amax(1, keepdim=True)).to(device)
    y = torch.randint(config.classes, (clouds,), generator=generator).to(device)

    def step_of(scores: Callable[[Tensor], Tensor]) -> Callable[[], None]:
        def step() -> None:
            F.cross_entropy(scores(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    by_formula = step_of(lambda x: textbook.logits(network, x)), "the formulas as they stand, layer by layer"
    return Case(step_of(network), clouds, rival=by_formula)


def mini() -> Case:
    widths = {"c1": 8, "c2": 12, "c3": 24, "f1": 16, "f2": 8, "h1": 48, "h2": 32}
    return case(VNPointNetConfig(classes=8, neighbours=8, **widths), clouds=32, points=64)


def published() -> Case:
    return case(VNPointNetConfig(), clouds=24, points=300)


CASES = {"mini (15k)": mini, "published (2.0M)": published}
