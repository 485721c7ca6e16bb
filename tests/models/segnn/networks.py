"""Small SEGNNs in double precision, the particles they are given, and how those are turned."""

import torch

from models.segnn.network import SEGNN, SEGNNConfig
from models.segnn.official import load_state
from models.segnn.steerable import SteerableSEGNN
from twirl.groups import SO3

SMALL = {"hidden_features": 8, "layers": 2}


def particles(B=3, n=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x, v = torch.randn(2, B, n, 3, generator=generator, dtype=torch.float64)
    return x, v / 3, torch.randint(0, 2, (B, n), generator=generator).double() * 2 - 1


def small(kind=SEGNN, seed=0, **change):
    torch.manual_seed(seed)
    return kind(SEGNNConfig(**SMALL | change)).double()


def pair(**change):
    """Both networks with the same weights."""
    theirs = small(SteerableSEGNN, **change)
    ours = small(**change)
    load_state(ours, theirs.state_dict())
    return ours, theirs


def orthogonal(n, seed=2):
    """Rotations, every other one with an inversion."""
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(n)[:n]
    return signs[:, None, None] * SO3().sample(n, torch.Generator().manual_seed(seed), dtype=torch.float64)
