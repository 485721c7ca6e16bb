"""Cases of `python -m models.bench vn_pointnet`: the published batch of 24 clouds of 300 points, and the mini size."""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.bench import Case, relaxed_step
from models.vn_pointnet import textbook
from models.vn_pointnet.network import VNPointNet
from models.vn_pointnet.settings import VNPointNetConfig
from twirl.relaxation import RECM, RPP, Labels, Method
from twirl.relaxation.recm import TERMS

MINI = VNPointNetConfig(classes=8, neighbours=8, c1=8, c2=12, c3=24, f1=16, f2=8, h1=48, h2=32)
PUBLISHED = VNPointNetConfig()


def batch(config: VNPointNetConfig, clouds: int, points: int) -> tuple[Tensor, Tensor]:
    """Points in the unit ball, and labels."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(clouds, points, 3, generator=generator)
    x = (x / x.norm(dim=-1, keepdim=True).amax(1, keepdim=True)).to(device)
    return x, torch.randint(config.classes, (clouds,), generator=generator).to(device)


def plain(config: VNPointNetConfig, clouds: int, points: int) -> Case:
    """A step of the published optimiser, compared with the plain formulas with the same weights."""
    x, y = batch(config, clouds, points)
    network = VNPointNet(config).to(x.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)

    def step_of(scores: Callable[[Tensor], Tensor]) -> Callable[[], None]:
        def step() -> None:
            F.cross_entropy(scores(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    by_formula = step_of(lambda x: textbook.logits(network, x)), "the plain formulas, layer by layer"
    return Case(step_of(network), clouds, rival=by_formula)


def recm(config: VNPointNetConfig, clouds: int, points: int) -> Case:
    """A step of RECM with all its terms, compared with the plain network, the lower bound, and every place skipped."""
    labels = Labels(config.classes)
    methods = {
        "the plain network": Method(),
        # RPP with W only: merged dense maps at a fixed alpha, and nothing else.
        "the lower bound, dense maps at a fixed alpha": RPP(bias=False),
        "RECM without noise": RECM(1e-3, labels, terms=("W", "b")),
        "RECM with every place skipped": RECM(1e-3, labels, terms=TERMS, skip_after=1, prune_below=math.inf),
    }
    steps = {name: _relaxed_step(config, method, clouds, points) for name, method in methods.items()}
    return Case(_relaxed_step(config, RECM(1e-3, labels, terms=TERMS), clouds, points), clouds, beside=steps)


def _relaxed_step(config: VNPointNetConfig, method: Method, clouds: int, points: int) -> Callable[[], None]:
    x, y = batch(config, clouds, points)

    def error(network: nn.Module) -> Tensor:
        return F.cross_entropy(network(x), y)

    return relaxed_step(VNPointNet(config).to(x.device), method, y, error, lr=1e-3, weight_decay=1e-4)


CASES = {
    "mini (15k)": partial(plain, MINI, 32, 64),
    "published (2.0M)": partial(plain, PUBLISHED, 24, 300),
    "mini, 16 points, RECM": partial(recm, MINI, 32, 16),
    "mini, RECM": partial(recm, MINI, 32, 64),
    "published, RECM": partial(recm, PUBLISHED, 24, 300),
}
