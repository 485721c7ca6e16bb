"""Cases of `python -m models.bench proteina`: training steps at the mini and at published sizes.

On a GPU the published sizes take the published batch, four chains of 255 residues, in bfloat16; on a CPU two chains
of 120 in float32.
"""

from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from models.bench import Case, network_of
from models.datasets.pdb import ChainBatch, padded
from models.proteina import textbook
from models.proteina.network import Proteina
from models.proteina.settings import PUBLISHED, ProteinaConfig, ProteinaTaskSettings
from models.proteina.task import ProteinaTask

MINI = network_of("mini", "proteina")


def random_chains(chains: int, residues: int) -> ChainBatch:
    """Random walks with the bond length of proteins, 0.38 nm."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(chains, residues, 3))
    steps *= 0.38 / np.linalg.norm(steps, axis=-1, keepdims=True)
    numbers = np.tile(np.arange(1, residues + 1), (chains, 1))
    return padded(list(steps.cumsum(1)), list(numbers), range(chains))


def case(sizes: dict, chains: int, residues: int, rival: bool = True) -> Case:
    """A training step; every other one uses self-conditioning, as half of them do in training."""
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    torch.manual_seed(0)
    task = ProteinaTask(ProteinaTaskSettings(network=ProteinaConfig(**sizes))).to(device)
    optimizer = task.configure_optimizers()
    batch = random_chains(chains, residues).to(device)
    draw = task.draw(batch, 0, 0)
    coins = {"own": False, "rival": False}

    def step_of(name: str) -> Callable[[], None]:
        def step() -> None:
            coins[name] = not coins[name]
            given = type(draw)(draw.rotations, draw.x_0, draw.t, coins[name])
            with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
                loss = sum(part.mean() for part in task.losses(batch, given))
            loss.backward()
            nn.utils.clip_grad_norm_(task.network.parameters(), 1.0, foreach=True)
            optimizer.step()
            optimizer.zero_grad()
            task.ema.update_parameters(task.network)

        return step

    def by_formula(network: Proteina, *inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        return textbook.predict(network, *inputs)

    plain = step_of("rival")

    def plain_step() -> None:
        with patch.object(Proteina, "forward", by_formula):
            plain()

    against = (plain_step, "the same step by the plain formulas") if rival else None
    return Case(step_of("own"), chains, rival=against)


def published(name: str, **change) -> Case:
    chains, residues = (4, 255) if torch.cuda.is_available() else (2, 120)
    return case(PUBLISHED[name] | change, chains, residues, rival=not change)


CASES = {
    "mini (168k)": lambda: case(MINI, 8, 32),
    "60M, one chain of 60": lambda: case(PUBLISHED["60M"], 1, 60),
    "60M": lambda: published("60M"),
    "60M, pairs recomputed": lambda: published("60M", recompute="pairs"),
    "400M with triangles": lambda: published("400M-tri"),
    "400M with triangles, all recomputed": lambda: published("400M-tri", recompute="everything"),
}
