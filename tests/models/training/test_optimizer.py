"""Optimisers and schedules that settings make, against what the systems' published recipes say."""

import math

import pytest
import torch
from torch import nn

from models.escaip.settings import EScAIPTaskSettings
from models.training.optimizer import multiplier, optimizer, scheduled
from models.training.settings import Optimizer, Schedule
from models.vn_pointnet.settings import VNPointNetTaskSettings


def warm_cosine(step: int) -> float:
    """EScAIP's: 1484 steps from a fifth, then half a cosine to one half, counted from the first step (escaip.md 5)."""
    if step <= 1484:
        return 0.2 * (1 - step / 1484) + step / 1484
    return 0.5 + 0.5 * 0.5 * (1 + math.cos(math.pi * min(step / 445_470, 1.0)))


def drops(step: int) -> float:
    """VN-PointNet's: 0.7 every 20 epochs of 410 steps, an epoch early (vn_pointnet.md 4)."""
    return 0.7 ** ((step + 410) // 8200)


@pytest.mark.parametrize(
    ("schedule", "formula"),
    [
        (EScAIPTaskSettings().schedule, warm_cosine),
        (VNPointNetTaskSettings().schedule, drops),
        (Schedule(kind="cosine", total_steps=500), lambda s: 0.5 * (1 + math.cos(math.pi * min(s / 500, 1)))),
        (
            Schedule(kind="constant", warmup_steps=20, warmup_factor=0.2),
            lambda s: min(1.0, 0.2 + 0.8 * s / 20),
        ),
        (Schedule(), lambda s: 1.0),
    ],
    ids=["warm cosine", "drops", "cosine", "constant after a warm-up", "constant"],
)
def test_the_learning_rate_is_multiplied_as_the_recipe_says(schedule, formula):
    for step in (0, 1, 19, 20, 21, 499, 500, 742, 1484, 1485, 7789, 7790, 81_999, 222_735, 445_470, 500_000):
        assert multiplier(schedule, step) == pytest.approx(formula(step), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("scale_free_adamw", "AdamW"), ("sgd", "SGD")]
)
def test_an_optimiser_has_the_settings_and_a_group_keeps_what_it_says(name, kind):
    a, b = (nn.Parameter(torch.ones(2)) for _ in range(2))
    groups = [{"params": [a]}, {"params": [b], "weight_decay": 0.0, "lr": 0.3}]
    settings = Optimizer(name=name, lr=0.1, weight_decay=0.01, betas=(0.8, 0.9))
    made = optimizer(settings, groups)
    first, second = made.param_groups
    assert type(made).__name__ == kind
    assert (first["lr"], first["weight_decay"]) == (0.1, 0.01)
    assert (second["lr"], second["weight_decay"]) == (0.3, 0.0)
    if name != "sgd":
        assert first["betas"] == (0.8, 0.9)
        assert (first["eps"] < 1e-15) == (name == "scale_free_adamw")
    assert first.get("momentum", 0) == 0


def test_a_schedule_multiplies_the_rate_of_every_group_at_every_step():
    groups = [{"params": [nn.Parameter(torch.ones(1))]}, {"params": [nn.Parameter(torch.ones(1))], "lr": 0.5}]
    both = scheduled(optimizer(Optimizer(lr=1.0), groups), Schedule(kind="steps", factor=0.5, every=2))
    rates = []
    for _ in range(4):
        rates.append([group["lr"] for group in both["optimizer"].param_groups])
        both["optimizer"].step()
        both["lr_scheduler"]["scheduler"].step()
    assert rates == [[1.0, 0.5], [1.0, 0.5], [0.5, 0.25], [0.5, 0.25]]
    assert both["lr_scheduler"]["interval"] == "step"
