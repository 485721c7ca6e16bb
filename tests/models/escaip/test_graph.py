"""The neighbour graph and its invariant features, against brute force and symmetry."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from models.escaip.bond_order import bond_order
from models.escaip.graph import build_graph
from models.escaip.smearing import SmearedDistances, gaussian_smearing
from twirl.groups import SO3


def molecules(sizes, seed=0, spread=2.0):
    """Random positions (N, 3) float64 and graph_index (N,) of molecules with so many atoms."""
    generator = torch.Generator().manual_seed(seed)
    positions = spread * torch.randn(sum(sizes), 3, generator=generator, dtype=torch.float64)
    return positions, torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))


def brute_force(positions, graph_index, cutoff, max_neighbors, box=None):
    """Sets of senders per receiver, atom by atom."""
    kept = []
    for i in range(len(positions)):
        near = []
        for j in range(len(positions)):
            vector = positions[j] - positions[i]
            if box is not None:
                vector = vector - box * torch.round(vector / box)
            if j != i and graph_index[j] == graph_index[i] and vector.norm() <= cutoff:
                near.append((vector.norm().item(), j))
        kept.append(sorted(j for _, j in sorted(near)[:max_neighbors]))
    return kept


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    cutoff=st.floats(1.0, 6.0),
    max_neighbors=st.integers(1, 12),
)
def test_neighbours_equal_a_search_over_all_pairs(sizes, seed, cutoff, max_neighbors):
    positions, graph_index = molecules(sizes, seed)
    graph = build_graph(positions, graph_index, len(sizes), cutoff, max_neighbors)
    expected = brute_force(positions, graph_index, cutoff, max_neighbors)
    for i, senders in enumerate(expected):
        if senders:
            assert graph.neighbors[i][graph.mask[i]].tolist() == senders
        else:
            assert graph.isolated[i]
            assert graph.neighbors[i, 0] == i
            assert graph.direction[i, 0].tolist() == [1.0, 0.0, 0.0]
    assert (graph.neighbors[~graph.mask] == -1).all()


def test_a_periodic_box_connects_through_its_faces():
    positions = torch.tensor([[0.5, 0, 0], [29.0, 0, 0], [15.0, 0, 0]], dtype=torch.float64)
    graph = build_graph(
        positions, torch.zeros(3, dtype=torch.long), 1, cutoff=12.0, max_neighbors=4, box=30.0
    )
    assert graph.neighbors[0][graph.mask[0]].tolist() == [1]
    assert graph.distance[0, 0].item() == pytest.approx(1.5)
    assert graph.direction[0, 0].tolist() == pytest.approx([1.0, 0.0, 0.0])  # the sender lies behind the face


def test_a_box_smaller_than_twice_the_cutoff_is_refused():
    with pytest.raises(ValueError, match="less than twice the cutoff"):
        build_graph(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long), 1, 12.0, 4, box=20.0)


def test_directions_point_from_the_neighbour_to_the_receiver():
    positions, graph_index = molecules([6])
    graph = build_graph(positions, graph_index, 1, 6.0, 4)
    for i, j in graph.mask.nonzero().tolist():
        vector = positions[i] - positions[graph.neighbors[i, j]]
        torch.testing.assert_close(graph.direction[i, j], vector / vector.norm())


def test_equidistant_neighbours_are_taken_by_index():
    corners = torch.tensor([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=torch.float64)
    graph = build_graph(corners, torch.zeros(5, dtype=torch.long), 1, 3.0, 2)
    assert graph.neighbors[0].tolist() == [1, 2]


def test_features_do_not_turn_with_the_molecule():
    positions, graph_index = molecules([9, 3, 1])
    R = SO3().sample(1, torch.Generator().manual_seed(1))[0]
    graphs = [build_graph(p, graph_index, 3, 6.0, 8) for p in (positions, positions @ R.T)]
    assert torch.equal(graphs[0].neighbors, graphs[1].neighbors)
    for feature in (lambda g: bond_order(g, 10), lambda g: gaussian_smearing(g, 6.0, 64)):
        torch.testing.assert_close(feature(graphs[0]), feature(graphs[1]), atol=1e-12, rtol=0)


def test_bond_order_obeys_the_addition_theorem():
    """q_l^2 = (2l+1) / n^2 sum_jk P_l(cos theta_jk)."""
    positions, graph_index = molecules([8])
    graph = build_graph(positions, graph_index, 1, 9.0, 8)
    cosines = graph.direction @ graph.direction.mT
    pairs = (graph.mask[:, :, None] & graph.mask[:, None, :]).double()
    n = graph.mask.sum(1).double()
    previous, current = torch.ones_like(cosines), cosines
    legendre = [previous, current]
    for degree in range(2, 10):
        previous, current = current, ((2 * degree - 1) * cosines * current - (degree - 1) * previous) / degree
        legendre.append(current)
    expected = [(2 * degree + 1) / n**2 * (pairs * P).sum((1, 2)) for degree, P in enumerate(legendre)]
    torch.testing.assert_close(bond_order(graph, 10) ** 2, torch.stack(expected, 1), atol=1e-12, rtol=0)


def test_an_isolated_atom_has_no_distance_and_no_bond_order():
    graph = build_graph(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long), 1, 6.0, 4)
    assert not gaussian_smearing(graph, 6.0, 8).any()
    assert not bond_order(graph, 4).any()


def test_smearing_is_one_at_its_centre_and_two_steps_wide():
    positions = torch.tensor([[0.0, 0, 0], [3.0, 0, 0]], dtype=torch.float64)
    graph = build_graph(positions, torch.zeros(2, dtype=torch.long), 1, 6.0, 1)
    smeared = gaussian_smearing(graph, 6.0, 7)[0, 0]
    assert smeared.tolist() == pytest.approx([math.exp(-((k - 3) ** 2) / 8) for k in range(7)])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_the_banded_product_is_the_dense_one_with_its_gradient(dtype, tolerance):
    positions, graph_index = molecules([20, 14, 1, 9])
    graph = build_graph(positions.to(dtype), graph_index, 4, 12.0, 20)
    distances = SmearedDistances.of(graph, 12.0, 600)
    assert distances.dense is None
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(16, 600, generator=generator, dtype=dtype, requires_grad=True)
    bias = torch.randn(16, generator=generator, dtype=dtype)
    pull = torch.randn(44, 20, 16, generator=generator, dtype=dtype)
    results = []
    for product in (
        distances.linear(weight, bias),
        F.linear(gaussian_smearing(graph, 12.0, 600), weight, bias),
    ):
        results.append((product, *torch.autograd.grad(product, weight, pull)))
    for banded, dense in zip(*results, strict=True):
        torch.testing.assert_close(banded, dense, atol=tolerance * dense.detach().abs().max().item(), rtol=0)


def test_a_short_grid_is_multiplied_densely():
    positions, graph_index = molecules([9])
    graph = build_graph(positions, graph_index, 1, 6.0, 8)
    assert SmearedDistances.of(graph, 6.0, 48).dense is not None
