"""Accuracy on the test split, exact and as the official code averages it (spec vn_pointnet.md section 5)."""

import torch
from torch import Tensor

from models.training.callbacks import Evaluation
from models.training.sampling import stream_seed
from twirl.monitor import undisturbed


def accuracies(correct: Tensor, label: Tensor, batch_size: int) -> dict[str, float]:
    """correct: (n,) whether each test example was classified right. label: (n,).

    instance_accuracy: share of right examples. class_accuracy: mean over the classes of the share within each.
    *_upstream: the same means, taken over each batch of `batch_size` in the given order and then over batches, so that
    the last, shorter batch counts as much as any other.
    """
    correct = correct.double()
    batch = torch.arange(len(correct), device=correct.device) // batch_size
    by_batch = _means(correct, batch)
    pair = label * (int(batch.max()) + 1) + batch
    pairs = pair.unique()
    by_pair = _means(correct, torch.searchsorted(pairs, pair))
    classes = pairs // (int(batch.max()) + 1)
    return {
        "instance_accuracy": float(correct.mean()),
        "class_accuracy": float(_means(correct, _dense(label)).mean()),
        "instance_accuracy_upstream": float(by_batch.mean()),
        "class_accuracy_upstream": float(_means(by_pair, _dense(classes)).mean()),
    }


def _dense(index: Tensor) -> Tensor:
    """The same grouping, numbered without gaps."""
    return index.unique(return_inverse=True)[1]


def _means(values: Tensor, group: Tensor) -> Tensor:
    """Mean of the values of each group; group: (n,) from 0, without gaps."""
    sums = values.new_zeros(int(group.max()) + 1).index_add(0, group, values)
    return sums / torch.bincount(group)


class TestAccuracy(Evaluation):
    """Classifies the whole test split at regular steps and after the last one: rows test/<series>/<accuracy>.

    The module's `readings()` gives the evaluation variants: functions from points to class scores. Test orientations
    are functions of (seed, step); the random numbers of training are not touched.
    """

    __test__ = False  # not a test of pytest, in spite of the name

    def rows(self, trainer, pl_module) -> dict[str, float]:
        data, step = trainer.datamodule, trainer.global_step
        with undisturbed(pl_module, stream_seed(data.seed, "test", step)):
            readings = pl_module.readings()
            correct, labels = {series: [] for series in readings}, []
            for batch in data.test_batches(step):
                batch = batch.to(pl_module.device)
                labels.append(batch.label)
                for series, scores in readings.items():
                    correct[series].append(scores(batch.points).argmax(1) == batch.label)
            label = torch.cat(labels)
            return {
                f"test/{series}/{name}": value
                for series, parts in correct.items()
                for name, value in accuracies(torch.cat(parts), label, data.batch_size).items()
            }
