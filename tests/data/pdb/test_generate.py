"""Generated C-alpha traces look like proteins, and depend on nothing but the seed and their number."""

import numpy as np
import pytest

from data.pdb.chains import globular_radius, radius_of_gyration
from data.pdb.generate import CONTACT, generate


@pytest.fixture(scope="module")
def traces():
    return list(generate(24, 32, 64, seed=0))


def torsions(x):
    """Dihedral angles [degrees] of four C-alphas in a row."""
    a, b, c = (np.diff(x, axis=0)[k : len(x) - 3 + k] for k in range(3))
    n, m = np.cross(a, b), np.cross(b, c)
    sine = (np.cross(n, m) * b).sum(1) / np.linalg.norm(b, axis=1)
    return np.degrees(np.arctan2(sine, (n * m).sum(1)))


def test_lengths_are_those_asked_for(traces):
    lengths = [len(trace) for trace in traces]
    assert min(lengths) >= 32
    assert max(lengths) <= 64
    assert len(set(lengths)) > 5
    assert traces[0].numbers.tolist() == list(range(1, lengths[0] + 1))


def test_neighbours_are_a_peptide_bond_apart_and_others_in_no_contact(traces):
    for trace in traces:
        x = trace.coordinates
        assert np.allclose(np.linalg.norm(np.diff(x, axis=0), axis=1), 0.381, atol=0.001)
        i, j = np.triu_indices(len(x), 3)
        assert np.linalg.norm(x[i] - x[j], axis=1).min() >= CONTACT


def test_chains_are_compact(traces):
    ratios = [radius_of_gyration(t.coordinates) / globular_radius(len(t)) for t in traces]
    assert 0.9 < np.median(ratios) < 1.25
    assert max(ratios) < 1.7


def test_helices_are_right_handed_and_strands_are_there(traces):
    angles = np.concatenate([torsions(trace.coordinates) for trace in traces])
    helical = (angles > 35) & (angles < 70)
    extended = np.abs(angles) > 130
    assert 0.2 < helical.mean() < 0.7
    assert extended.mean() > 0.1
    assert ((angles > -70) & (angles < -35)).mean() < 0.3 * helical.mean()


def test_a_trace_depends_on_the_seed_and_its_number_alone(traces):
    few = list(generate(3, 32, 64, seed=0))
    for one, other in zip(few, traces, strict=False):
        assert np.array_equal(one.coordinates, other.coordinates)
    assert not np.array_equal(next(generate(1, 32, 64, seed=1)).coordinates[:8], few[0].coordinates[:8])
