"""The gradient monitor logs the gradients of what the monitor measures, and leaves training as it was."""

import pytest
import torch

lightning = pytest.importorskip("lightning")

from torch.utils.data import DataLoader  # noqa: E402

from tests.twirl.test_monitor import DATA, DataModule, Module, Ranked, fit, quiet  # noqa: E402, F401
from twirl.gradient_monitor import GradientMonitor  # noqa: E402
from twirl.gradients import gradient_norm, loss_gradients  # noqa: E402
from twirl.monitor import EquivarianceMonitor  # noqa: E402
from twirl.problem import Problem  # noqa: E402
from twirl.representations import Vectors  # noqa: E402


class Averaged(Module):
    """Has a second network that needs no gradient, as averaged weights do."""

    def __init__(self):
        super().__init__()
        self.mean = torch.nn.Linear(3, 3).requires_grad_(False)

    def twirl_parameters(self):
        return {"raw": self.net.parameters(), "mean": self.mean.parameters()}

    def twirl_problems(self, batch):
        x, y = batch
        shift = self.net[0].bias.sum()  # may be computed outside of the model, as a backbone that runs once
        return {
            "raw/t=0.5": Problem(lambda z: self.net(z) + shift, x, y, Vectors(), Vectors()),
            "mean": Problem(self.mean, x, y, Vectors(), Vectors()),
        }


def data(batches: int) -> DataModule:
    return DataModule(DataLoader(DATA, 8), DataLoader(DATA, 8))


def test_norms_are_of_the_gradients_over_all_batches_at_once():
    monitor = GradientMonitor([0], rotations=5, batches=2, seed=4)
    module = Averaged()
    start = {name: value.clone() for name, value in module.state_dict().items()}
    _, _, rows = fit(monitor, module, max_steps=1, datamodule=data(2))
    module.load_state_dict(start)
    whole = module.eval().twirl_problems([part[:16] for part in DATA.tensors])
    rotations = monitor.rotations(0)
    assert torch.equal(rotations.elements, EquivarianceMonitor(rotations=5, seed=4).rotations(0).elements)
    for name, params in (("raw/t=0.5", module.net), ("mean", module.mean.requires_grad_(True))):
        for suffix, estimator in (("_naive", "naive"), ("", "unbiased")):
            expected = loss_gradients(whole[name], params.parameters(), rotations, estimator=estimator)
            for loss, gradient in zip(("L_mean", "L_equiv"), expected, strict=True):
                value = rows[0][f"val/{name}/grad_{loss}{suffix}"]
                assert value == pytest.approx(gradient_norm(gradient), rel=1e-4)
    assert len(rows[0]) == 8


def test_training_goes_on_as_without_it_and_averaged_weights_need_no_gradient_again():
    _, without, _ = fit(None, Averaged())
    _, monitored, rows = fit(GradientMonitor(3, rotations=2, batches=1), Averaged())
    assert list(rows) == [0, 3, 6]
    assert monitored.losses == without.losses
    assert not any(p.requires_grad or p.grad is not None for p in monitored.mean.parameters())
    assert all(p.requires_grad for p in monitored.net.parameters())


def test_chosen_series_alone_are_measured():
    _, _, rows = fit(GradientMonitor([0], rotations=2, batches=1, series=["raw"]), Averaged())
    assert {key.split("/")[1] for key in rows[0]} == {"raw"}


def test_without_parameters_named_by_the_module_those_that_need_gradients_count():
    class Plain(Averaged):
        twirl_parameters = None

    _, _, rows = fit(GradientMonitor([0], rotations=2, batches=1, series=["raw"]), Plain())
    _, _, named = fit(GradientMonitor([0], rotations=2, batches=1, series=["raw"]), Averaged())
    assert rows == named


def test_a_series_without_parameters_is_named():
    class Forgetful(Averaged):
        def twirl_parameters(self):
            return {"raw": self.net.parameters()}

    with pytest.raises(ValueError, match="nothing for series 'mean'"):
        fit(GradientMonitor([0], rotations=2, batches=1), Forgetful())


def test_two_ranks_add_up_to_one():
    module, shares = Averaged().eval(), []

    class Rank(Ranked):
        def reduce(self, tensor, reduce_op):
            shares[-1].append(tensor)
            return tensor

    def sums(trainer, batches):
        monitor = GradientMonitor(rotations=3, batches=batches)
        monitor._batches = monitor._load(trainer, module)
        with torch.enable_grad():
            return monitor._sums(trainer, module, "raw/t=0.5", list(module.net.parameters()), 0)

    alone = Rank(0)
    alone.world_size = 1
    expected = [g for total in sums(alone, 4) for g in total]
    for rank in range(2):
        shares.append([])
        sums(Rank(rank), 4)
    (*first, size), (*second, other) = shares
    for a, b, both in zip(first, second, expected, strict=True):
        torch.testing.assert_close((a + b) / (size + other), both)
