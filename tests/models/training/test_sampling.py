"""Batches and seeds are functions of (seed, step)."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training.sampling import StepBatches, nested_subset, stream_seed

sizes = {"examples": st.integers(1, 40), "batch_size": st.integers(1, 17), "seed": st.integers(0, 2**31)}


@settings(max_examples=50, deadline=None)
@given(**sizes)
def test_every_epoch_shows_every_example_once(examples, batch_size, seed):
    steps = -(-examples // batch_size)
    batches = StepBatches(examples, batch_size, 3 * steps, seed)
    shown = list(chain.from_iterable(batches))
    for epoch in range(3):
        assert sorted(shown[epoch * examples : (epoch + 1) * examples]) == list(range(examples))
    assert [batches.samples_seen(k * steps) for k in range(4)] == [k * examples for k in range(4)]


@settings(max_examples=50, deadline=None)
@given(**sizes, start=st.integers(0, 30))
def test_resumed_batches_are_those_of_the_whole_run(examples, batch_size, seed, start):
    whole = list(StepBatches(examples, batch_size, 30, seed))
    assert list(StepBatches(examples, batch_size, 30, seed, start=start)) == whole[start:]


def test_processes_share_the_global_batch():
    whole = list(StepBatches(30, 8, 12, seed=0))
    shares = [list(StepBatches(30, 8, 12, seed=0, rank=rank, world_size=2)) for rank in range(2)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert Counter(chain.from_iterable(parts)) == Counter(batch)


def test_no_process_is_left_without_work():
    shares = [list(StepBatches(9, 4, 3, seed=0, rank=rank, world_size=2)) for rank in range(2)]
    assert all(share for batches in shares for share in batches)


def test_a_batch_smaller_than_the_processes_is_refused():
    with pytest.raises(ValueError, match="global batch of 1 cannot feed 2 processes"):
        StepBatches(9, 1, 3, seed=0, world_size=2)


def test_smaller_subsets_lie_within_larger_ones():
    indices = np.arange(100, 200)
    subsets = [set(nested_subset(indices, size, seed=1)) for size in (5, 20, 100)]
    assert subsets[0] < subsets[1] < subsets[2] == set(indices)
    assert nested_subset(indices, None, seed=1) is indices


def test_streams_and_positions_have_their_own_seeds():
    seeds = [stream_seed(s, stream, p) for s in range(5) for stream in ("shuffle", "step") for p in range(50)]
    assert len(set(seeds)) == len(seeds)
