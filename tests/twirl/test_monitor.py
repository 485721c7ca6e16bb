"""The monitor: logs what `decompose` gives, when it is due, and leaves training as it would be without it."""

import logging
import random
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

lightning = pytest.importorskip("lightning")

from lightning.pytorch.loggers.logger import Logger  # noqa: E402

from twirl.decomposition import decompose  # noqa: E402
from twirl.groups import SO2, Octahedral  # noqa: E402
from twirl.monitor import EquivarianceMonitor, undisturbed  # noqa: E402
from twirl.problem import Problem  # noqa: E402
from twirl.representations import Vectors  # noqa: E402
from twirl.rotations import enumerate_group  # noqa: E402

DATA = TensorDataset(
    torch.randn(32, 4, 3, generator=torch.Generator().manual_seed(0)),
    torch.randn(32, 4, 3, generator=torch.Generator().manual_seed(1)),
)


class Memory(Logger):
    name, version = "memory", "0"

    def __init__(self):
        super().__init__()
        self.rows: dict[int, dict[str, float]] = {}

    def log_metrics(self, metrics, step=None):
        assert step not in self.rows, f"step {step} was logged twice"
        self.rows[step] = dict(metrics)

    def log_hyperparams(self, *args, **kwargs):
        pass


class Module(lightning.LightningModule):
    """A small network with dropout whose measured problem also draws from every global random generator."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = torch.nn.Sequential(
                torch.nn.Linear(3, 8), torch.nn.Dropout(0.3), torch.nn.SiLU(), torch.nn.Linear(8, 3)
            )
        self.net[1].eval()  # part of the network may be frozen in eval mode
        self.losses, self.modes, self.poison = [], [], 1.0

    def training_step(self, batch, index):
        self.modes.append([m.training for m in self.modules()])
        noise = torch.randn(()) + random.random() + np.random.rand()  # noqa: NPY002
        loss = (torch.nn.functional.dropout(self.net(batch[0])) - batch[1]).square().mean() * (
            1 + 0.1 * noise
        )
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch, index):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-2)

    def twirl_problems(self, batch):
        assert not any(m.training for m in self.modules())
        assert not torch.is_grad_enabled()
        x, y = batch
        noise = torch.randn(()) + random.random() + np.random.rand()  # noqa: NPY002
        exact = (torch.ones(len(x)), torch.ones(len(x)), torch.full((len(x),), 12.0))
        return {
            "raw": Problem(self.net, x, y * self.poison, Vectors(), Vectors()),
            "noisy/t=0.5": Problem(self.net, x, 2 * y + noise, Vectors(), Vectors(), exact=lambda: exact),
        }


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def fit(monitor=None, module=None, max_steps=7, validate=True, datamodule=None, ckpt_path=None, **options):
    torch.manual_seed(3), random.seed(3), np.random.seed(3)  # noqa: NPY002
    logger, module = Memory(), module or Module()
    trainer = lightning.Trainer(
        max_steps=max_steps,
        accelerator="cpu",
        logger=logger,
        callbacks=monitor,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10_000,
        **options,
    )
    if datamodule is not None:
        trainer.fit(module, datamodule=datamodule, ckpt_path=ckpt_path)
    else:
        loaders = DataLoader(DATA, 8, shuffle=True), DataLoader(DATA, 8, shuffle=True) if validate else None
        trainer.fit(module, *loaders, ckpt_path=ckpt_path)
    return trainer, module, logger.rows


def test_a_problem_may_name_the_rotations_it_is_twirled_over():
    octahedral = enumerate_group(Octahedral(), torch.float32)

    class Enumerated(Module):
        def twirl_problems(self, batch):
            return {"raw": Problem(self.net, *batch, Vectors(), Vectors(), rotations=octahedral)}

    _, module, rows = fit(
        EquivarianceMonitor(100, rotations=3, batches=1, loader=DataLoader(DATA, 8)), Enumerated()
    )
    torch.manual_seed(3)
    module = Module().eval()
    x, y = DATA[:8]
    whole = decompose(module.net, x, y, octahedral, Vectors(), Vectors())
    assert rows[0]["val/raw/percent"] == pytest.approx(whole.naive.percent)
    assert rows[0]["val/raw/L_mean"] == rows[0]["val/raw/L_mean_naive"]


def test_the_monitor_changes_no_training_number_and_restores_every_mode():
    _, without, _ = fit()
    _, monitored, rows = fit(EquivarianceMonitor(2))
    assert rows
    assert monitored.losses == without.losses
    assert monitored.modes == without.modes
    assert all(torch.equal(a, b) for a, b in zip(without.parameters(), monitored.parameters(), strict=True))


@pytest.mark.parametrize(
    ("steps", "logged"), [(3, [0, 3, 6]), ([0, 1, 5, 100], [0, 1, 5]), ([2], [2]), (7, [0, 7])]
)
def test_measurements_are_logged_at_the_steps_that_are_due(steps, logged):
    _, _, rows = fit(EquivarianceMonitor(steps, rotations=2, batches=1))
    assert list(rows) == logged


def test_a_step_of_several_batches_is_measured_once():
    _, _, rows = fit(EquivarianceMonitor(1, rotations=2, batches=1), max_steps=3, accumulate_grad_batches=2)
    assert list(rows) == [0, 1, 2, 3]


def test_logged_values_are_those_of_decompose_under_the_names_of_the_contract():
    monitor = EquivarianceMonitor([0], batches=2)
    loader = DataLoader(DATA, 8)
    module = Module()
    _, _, rows = fit(monitor, module, max_steps=1, validate=True, datamodule=DataModule(loader, loader))
    torch.manual_seed(0)
    problem = Problem(Module().net.eval(), *(t[:16] for t in DATA.tensors), Vectors(), Vectors())
    expected = problem.decompose(monitor.rotations(0))
    values = rows[0]
    names = set(expected.as_dict()) | {"percent_se"}
    exact = {"L_total_exact", "L_mean_exact", "L_equiv_exact", "percent_exact"}
    assert set(values) == (
        {f"val/raw/{name}" for name in names}
        | {f"val/noisy/t=0.5/{name}" for name in names | exact}
        | {"val/zero/L_total", "val/zero/t=0.5/L_total"}
    )
    for name, value in expected.as_dict().items():
        assert values[f"val/raw/{name}"] == pytest.approx(value, rel=1e-4), name
    assert values["val/zero/L_total"] == pytest.approx(float(problem.y.square().mean()))
    assert values["val/noisy/t=0.5/percent_exact"] == 50


class DataModule(lightning.LightningDataModule):
    def __init__(self, monitored, validation=None):
        super().__init__()
        self.monitored, self.validation = monitored, validation

    def train_dataloader(self):
        return DataLoader(DATA, 8, shuffle=True)

    def val_dataloader(self):
        return self.validation

    def monitor_dataloader(self):
        return self.monitored


def test_the_zero_predictor_is_logged_at_step_0_only():
    _, _, rows = fit(EquivarianceMonitor(3, rotations=2, batches=1))
    assert "val/zero/L_total" in rows[0]
    assert not any(key.startswith("val/zero") for key in rows[3])


def test_rotations_are_fresh_at_every_step_and_a_function_of_seed_and_step():
    monitor, other = EquivarianceMonitor(seed=1), EquivarianceMonitor(seed=2)
    assert torch.equal(monitor.rotations(5).elements, EquivarianceMonitor(seed=1).rotations(5).elements)
    assert not torch.allclose(monitor.rotations(5).elements, monitor.rotations(6).elements)
    assert not torch.allclose(monitor.rotations(5).elements, other.rotations(5).elements)
    signed = EquivarianceMonitor(group=Octahedral()).rotations(0).elements
    assert torch.equal(signed, signed.round())


def test_a_problem_may_have_a_group_of_its_own():
    class AboutZ(Module):
        def twirl_problems(self, batch):
            height = lambda x: torch.cat([0 * x[..., :2], x[..., 2:]], dim=-1)  # noqa: E731
            problem = {"model": height, "x": batch[0], "y": batch[1]}
            return {
                "all": Problem(**problem, acts_on_x=Vectors(), acts_on_y=Vectors()),
                "vertical": Problem(**problem, acts_on_x=Vectors(), acts_on_y=Vectors(), group=SO2("z")),
            }

    _, _, rows = fit(EquivarianceMonitor([0], rotations=4), AboutZ())
    assert rows[0]["val/vertical/percent"] < 1e-6
    assert rows[0]["val/all/percent"] > 1


def test_the_same_step_measures_the_same_in_a_second_run_and_after_a_resume(tmp_path):
    trainer, _, rows = fit(EquivarianceMonitor(2), max_steps=4)
    again = fit(EquivarianceMonitor(2), max_steps=4)[2]
    assert rows == again
    trainer.save_checkpoint(tmp_path / "at4.ckpt")
    _, _, resumed = fit(EquivarianceMonitor(2), max_steps=7, ckpt_path=tmp_path / "at4.ckpt")
    assert list(resumed) == [6]


def test_a_monitor_can_be_used_for_one_training_after_another():
    monitor = EquivarianceMonitor(2)
    assert fit(monitor, max_steps=4)[2] == fit(monitor, max_steps=4)[2]


def test_a_prediction_that_is_not_finite_names_series_and_step():
    module = Module()
    module.poison = float("nan")
    with pytest.raises(ValueError, match="series 'raw', step 0: the targets are not finite"):
        fit(EquivarianceMonitor(2), module)


def test_missing_methods_and_data_are_named():
    class Plain(lightning.LightningModule):
        training_step, configure_optimizers = Module.training_step, Module.configure_optimizers

        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(3, 3)

    with pytest.raises(ValueError, match="Plain needs a method twirl_problems"):
        fit(EquivarianceMonitor(), Plain())
    with pytest.raises(ValueError, match="needs data"):
        fit(EquivarianceMonitor(), validate=False)
    with pytest.raises(ValueError, match="its data loader is empty"):
        fit(EquivarianceMonitor(), datamodule=DataModule([], DataLoader(DATA, 8)))


def test_settings_that_make_no_sense_are_named():
    with pytest.raises(ValueError, match="steps must be at least 1"):
        EquivarianceMonitor(0)
    with pytest.raises(ValueError, match="at least 2 rotations"):
        EquivarianceMonitor(rotations=1)
    with pytest.raises(ValueError, match="batches must be at least 1"):
        EquivarianceMonitor(batches=0)


class Ranked:
    """The parts of a trainer that the monitor looks at, on one of two ranks."""

    def __init__(self, rank):
        self.datamodule = DataModule(DataLoader(DATA, 8))
        self.global_step, self.world_size, self.global_rank = 0, 2, rank
        self.strategy = self

    def batch_to_device(self, batch, device):
        return batch


def test_ranks_share_the_batches_and_one_without_a_share_knows_the_series():
    shares = []
    for rank in range(2):
        monitor = EquivarianceMonitor(batches=4)
        shares.append(monitor._load(Ranked(rank), Module()))
    mine = [[batch[0] for batch, counted in share if counted] for share in shares]
    in_order = [batch for pair in zip(*mine, strict=True) for batch in pair]
    assert torch.equal(torch.cat(in_order), DATA.tensors[0])
    assert [len(share) for share in shares] == [2, 2]
    ((_, counted),) = EquivarianceMonitor(batches=1)._load(Ranked(1), Module())
    assert not counted


def test_leaving_an_undisturbed_block_restores_everything_even_after_an_error():
    module = Module()
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    modes = [m.training for m in module.modules()]

    def disturb():
        with undisturbed(module, 5):
            torch.randn(3), random.random(), np.random.rand()  # noqa: NPY002
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        disturb()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert (before[2] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert modes == [m.training for m in module.modules()]
    assert torch.is_grad_enabled()
