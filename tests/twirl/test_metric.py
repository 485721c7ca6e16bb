"""The metric gives the function's numbers, in batches and over processes."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from twirl.decomposition import decompose_predictions
from twirl.groups import Octahedral
from twirl.metric import EquivarianceError
from twirl.rotations import enumerate_group, rotation_set

F8 = torch.float64
Z = torch.randn(6, 12, 4, 3, generator=torch.Generator().manual_seed(0), dtype=F8)
Y = torch.randn(12, 4, 3, generator=torch.Generator().manual_seed(1), dtype=F8)
EXACT = (torch.arange(12.0), torch.ones(12), torch.full((12,), 12.0))


def updated(*parts: slice) -> EquivarianceError:
    metric = EquivarianceError(6)
    for rows in parts:
        metric.update(Z[:, rows], Y[rows], exact=tuple(term[rows] for term in EXACT))
    return metric


def test_the_metric_gives_the_numbers_of_the_function():
    found = decompose_predictions(Z, Y)
    values = updated(slice(None)).compute()
    for name, value in found.as_dict().items():
        assert values[name] == pytest.approx(value, rel=1e-12), name
    assert values["percent_se"] == pytest.approx(
        found.bootstrap(1000, torch.Generator().manual_seed(0)).percent
    )
    assert values["L_zero"] == pytest.approx(float(Y.square().mean()))
    assert values["L_mean_exact"] == pytest.approx(5.5)
    assert values["percent_exact"] == pytest.approx(100 / 6.5)


def test_a_convex_loss_is_pooled_like_the_function_pools_it():
    def loss(z, y):
        return (z - y).abs().flatten(1).mean(1)

    metric = EquivarianceError(6, loss)
    for rows in (slice(0, 5), slice(5, 12)):
        metric.update(Z[:, rows], Y[rows])
    expected = decompose_predictions(Z, Y, loss=loss)
    values = metric.compute()
    for name in ("L_total", "L_mean", "L_equiv", "percent"):
        assert values[name] == pytest.approx(getattr(expected.naive, name), rel=1e-12), name
    assert values["percent_mean_of_ratios"] == pytest.approx(float(expected.per_sample_naive.percent.mean()))
    assert values["L_zero"] == pytest.approx(float(Y.abs().mean()))
    assert values["percent_se"] != values["percent_se"]


def test_batches_give_the_same_as_the_whole():
    whole = updated(slice(None)).compute()
    assert updated(slice(0, 5), slice(5, 6), slice(6, 12)).compute() == pytest.approx(whole, rel=1e-12)


def test_ragged_samples_are_pooled_by_components():
    index = torch.tensor([0] * 2 + [1] * 6 + [2] * 4)
    metric = EquivarianceError(6)
    metric.update(Z[:, :8], Y[:8], index[:8])
    metric.update(Z[:, 8:], Y[8:], index[8:] - 2)
    expected = decompose_predictions(Z, Y, sample_index=index).as_dict()
    values = metric.compute()
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_a_sample_without_any_loss_is_left_out_of_the_mean_of_ratios():
    predictions, target = Z.clone(), Y.clone()
    predictions[:, 3], target[3] = 0, 0
    metric = EquivarianceError(6)
    metric.update(predictions, target)
    expected = decompose_predictions(predictions, target).percent_mean_of_ratios
    assert metric.compute()["percent_mean_of_ratios"] == pytest.approx(expected)


def test_reset_forgets_and_a_result_before_any_update_is_refused():
    metric = updated(slice(None))
    metric.reset()
    metric.update(Z[:, :5], Y[:5])
    assert "L_mean_exact" not in metric.compute()
    metric.reset()
    with pytest.warns(UserWarning, match="before"), pytest.raises(ValueError, match="before any update"):
        metric.compute()


def test_enumerated_rotations_are_not_corrected_and_have_no_standard_error():
    rotations = enumerate_group(Octahedral())
    metric = EquivarianceError(rotations)
    predictions = torch.randn(24, 12, 4, 3, dtype=F8)
    metric.update(predictions, Y)
    values = metric.compute()
    assert values["percent"] == values["percent_naive"]
    assert values["percent_se"] != values["percent_se"]
    assert values["percent"] == pytest.approx(decompose_predictions(predictions, Y, rotations).percent)


def test_wrong_numbers_of_rotations_are_named():
    with pytest.raises(ValueError, match="expects 5 rotations per update, not 6"):
        EquivarianceError(5).update(Z, Y)
    with pytest.raises(ValueError, match=r"at least 2 i\.i\.d\. rotations"):
        EquivarianceError(1)
    assert EquivarianceError(rotation_set("super_fibonacci", 1)).bessel == 1


def measure_a_share(rank: int, folder: str) -> None:
    rendezvous = {"init_method": f"file://{folder}/rendezvous", "timeout": timedelta(seconds=120)}
    dist.init_process_group("gloo", rank=rank, world_size=2, **rendezvous)
    metric = updated(slice(0, 5) if rank == 0 else slice(5, 12))
    torch.save(metric.compute(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_numbers_of_one(tmp_path):
    other = mp.get_context("spawn").Process(target=measure_a_share, args=(1, str(tmp_path)))
    other.start()
    measure_a_share(0, str(tmp_path))
    other.join()
    expected = updated(slice(None)).compute()
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == pytest.approx(expected, rel=1e-12)
