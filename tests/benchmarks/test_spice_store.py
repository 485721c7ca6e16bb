"""Random reads from the packed store: at least 20,000 conformations per second on one core."""

import numpy as np
import pytest

from data.spice.store import ConformationStore, LabelledMolecule, write_store

CONFORMATIONS, BATCH, ATOMS = 20_000, 64, 31  # atoms: the mean of the MACE-OFF training file


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(0)

    def molecules():
        for k in range(CONFORMATIONS // 10):
            n = int(rng.integers(ATOMS // 2, 3 * ATOMS // 2 + 1))
            x = rng.normal(size=(10, n, 3)).astype(np.float32)
            yield LabelledMolecule(str(k), np.full(n, 6), x, x, np.zeros(10))

    path = tmp_path_factory.mktemp("store") / "benchmark.h5"
    write_store(
        path,
        molecules(),
        labels="none",
        source="synthetic",
        config={},
        test_molecules=lambda names: {names[0]},
    )
    return ConformationStore(path)


def test_random_reads_reach_twenty_thousand_conformations_per_second(benchmark, store):
    batches = np.random.default_rng(1).permutation(len(store))[: 100 * BATCH].reshape(-1, BATCH)

    def read_all():
        for batch in batches:
            store.read(batch)

    benchmark(read_all)
    if benchmark.stats is not None:  # None under --benchmark-disable
        assert batches.size / benchmark.stats.stats.min >= 20_000
