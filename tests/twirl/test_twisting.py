"""Twisted and twirled predictions: closed forms, agreement of folded and single calls, exact projections."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from twirl.groups import SO2, SO3, AxisPreserving, Cyclic, Octahedral, Permutations, inverse
from twirl.representations import (
    BatchIndex,
    Constant,
    Count,
    Identity,
    IrrepsRep,
    Permuted,
    Scalars,
    Tree,
    Vectors,
    Voxels,
)
from twirl.rotations import enumerate_group, product_quadrature
from twirl.twisting import average, twirl, twist

F8 = torch.float64


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=F8)


def close(a, b, tolerance=1e-12) -> bool:
    return torch.allclose(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "rotations", [enumerate_group(Octahedral()), product_quadrature(2)], ids=["octahedral", "quadrature"]
)
def test_a_linear_map_twirls_to_a_third_of_its_trace(rotations):
    A, x = randn(3, 3), randn(5, 3, seed=1)
    mu = twirl(lambda v: v @ A.T, x, rotations, Vectors(), Vectors())
    assert close(mu, A.trace() / 3 * x)


@pytest.mark.parametrize("n", [3, 4, 7])
def test_a_linear_map_twirls_about_one_axis_to_what_commutes_with_its_turns(n):
    A, x = randn(3, 3), randn(5, 3, seed=1)
    same, turn = (A[0, 0] + A[1, 1]) / 2, (A[1, 0] - A[0, 1]) / 2
    expected = torch.tensor([[same, -turn, 0], [turn, same, 0], [0, 0, A[2, 2]]], dtype=F8)
    mu = twirl(lambda v: v @ A.T, x, enumerate_group(Cyclic(n)), Vectors(), Vectors())
    assert close(mu, x @ expected.T)


def test_a_constant_vector_twirls_to_zero_and_a_constant_scalar_to_itself():
    x, rotations = randn(4, 3), enumerate_group(Octahedral())
    c = torch.tensor([1.0, 2.0, 3.0], dtype=F8)
    assert close(
        twirl(lambda v: c.expand(len(v), 3), x, rotations, Vectors(), Vectors()), torch.zeros(4, 3, dtype=F8)
    )
    assert close(
        twirl(lambda v: c[:1].expand(len(v)), x, rotations, Vectors(), Scalars()), torch.ones(4, dtype=F8)
    )


def test_a_map_of_several_things_twirls_over_permutations_to_its_permutation_equivariant_part():
    k, W, x = 4, randn(4, 4), randn(3, 4, seed=1)
    diagonal = W.trace() / k
    other = (W.sum() - W.trace()) / (k * (k - 1))
    expected = diagonal * x + other * (x.sum(1, keepdim=True) - x)
    mu = twirl(lambda v: v @ W.T, x, enumerate_group(Permutations(k)), Permuted(), Permuted())
    assert close(mu, expected)


IRREPS = IrrepsRep("1x1o + 1x2e")
EQUIVARIANT = [
    (lambda v: 2 * v * v.norm(dim=-1, keepdim=True), (6, 3), SO3(), Vectors(), Vectors()),
    (
        lambda v: torch.linalg.cross(v[:, :1], v).flatten(1).square().sum(1),
        (6, 5, 3),
        SO3(),
        Vectors(),
        Scalars(),
    ),
    (lambda v: v * torch.tensor([2.0, 2.0, -1.0], dtype=F8), (6, 3), SO2("z"), Vectors(), Vectors()),
    (
        lambda t: t * t.square().sum(-1, keepdim=True),
        (6, 8),
        SO3(),
        IrrepsRep("1x1o + 1x2e"),
        IrrepsRep("1x1o + 1x2e"),
    ),
    (lambda v: F.avg_pool3d(v, 3, 1, 1), (2, 1, 5, 5, 5), AxisPreserving(), Voxels(), Voxels()),
    (lambda x: x - x.mean(1, keepdim=True), (6, 5), Permutations(5), Permuted(), Permuted()),
]


@pytest.mark.parametrize("case", EQUIVARIANT, ids=lambda case: type(case[3]).__name__)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_twisting_leaves_an_equivariant_map_unchanged(case, seed):
    model, shape, group, acts_on_x, acts_on_y = case
    x = randn(*shape, seed=seed)
    Z = twist(model, x, group.sample(7, generator(seed)), acts_on_x, acts_on_y)
    assert close(Z, model(x).expand_as(Z))


def network(d_in=3, d_out=3):
    W, V = randn(d_in, 16), randn(16, d_out, seed=1)
    return lambda x: torch.tanh(x @ W) @ V


@pytest.mark.parametrize("chunk", [1, 3, 10, 100])
def test_chunks_give_the_same_as_one_call(chunk):
    x, g = randn(6, 4, 3), SO3().sample(10, generator(0))
    assert close(
        twist(network(), x, g, Vectors(), Vectors(), chunk), twist(network(), x, g, Vectors(), Vectors())
    )


def test_one_call_of_the_model_sees_all_copies_of_a_chunk():
    calls = []

    def model(v):
        calls.append(len(v))
        return v

    twist(model, randn(6, 3), SO3().sample(10), Vectors(), Vectors(), chunk=4)
    assert calls == [24, 24, 12]


def graph_network(batch: dict) -> torch.Tensor:
    """Messages over edges, summed into nodes, nodes into graphs; nothing about it is equivariant."""
    i, j = batch["edges"]
    messages = network(7, 3)(
        torch.cat(
            [batch["positions"][i] - batch["positions"][j], batch["positions"][j], batch["z"][j, None]], 1
        )
    )
    nodes = torch.zeros_like(batch["positions"]).index_add_(0, i, messages)
    pooled = nodes.new_zeros(batch["graphs"], 3).index_add_(0, batch["graph"], nodes)
    return nodes + pooled[batch["graph"]] * batch["scale"]


GRAPHS = {
    "positions": randn(5, 3),
    "z": randn(5, seed=2),
    "edges": torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]]),
    "graph": torch.tensor([0, 0, 0, 1, 1]),
    "graphs": 2,
    "scale": 0.5,
}
ACTS_ON_GRAPHS = Tree(
    {
        "positions": Vectors(),
        "z": Identity(),
        "edges": BatchIndex("positions", dim=1),
        "graph": BatchIndex("graphs"),
        "graphs": Count(),
        "scale": Constant(),
    }
)


@pytest.mark.parametrize("chunk", [None, 2])
def test_folded_graphs_give_the_same_as_one_graph_batch_per_rotation(chunk):
    g = SO3().sample(5, generator(0))
    together = twist(graph_network, GRAPHS, g, ACTS_ON_GRAPHS, Vectors(), chunk)
    alone = [graph_network(GRAPHS | {"positions": GRAPHS["positions"] @ k.T}) @ k for k in g]
    assert close(together, torch.stack(alone))


@pytest.mark.parametrize("chunk", [None, 2])
def test_a_tree_of_outputs_is_turned_back_leaf_by_leaf(chunk):
    def model(v):
        return {"force": network()(v), "energy": v[:, 0] ** 2, "pair": (v, v[:, 1])}

    acts = {"force": Vectors(), "energy": Scalars(), "pair": (Vectors(), Scalars())}
    x, g = randn(4, 3), SO3().sample(5, generator(0))
    Z = twist(model, x, g, Vectors(), acts, chunk)
    assert close(Z["force"], twist(network(), x, g, Vectors(), Vectors()))
    assert close(Z["pair"][0], x.expand(5, 4, 3))
    assert Z["energy"].shape == (5, 4)
    mu = average(Z, torch.full((5,), 0.2, dtype=F8))
    assert close(mu["pair"][0], x)


@pytest.mark.parametrize("group", [Octahedral(), Cyclic(6), Permutations(3)], ids=lambda g: type(g).__name__)
def test_the_twirl_over_an_enumerated_group_is_equivariant_and_twirling_again_changes_nothing(group):
    acts = Permuted() if isinstance(group, Permutations) else Vectors()
    x, rotations = randn(5, 3), enumerate_group(group)

    def mu(v):
        return twirl(network(), v, rotations, acts, acts)

    g = group.elements()
    assert close(mu(acts.act(g, x[None])[1]), acts.act(g, mu(x)[None])[1])
    assert close(twirl(mu, x, rotations, acts, acts), mu(x))


def test_half_precision_predictions_are_turned_back_in_float32():
    x, g = randn(4, 3).float(), SO3().sample(3, generator(0))
    Z = twist(lambda v: v.bfloat16(), x, g, Vectors(), Vectors())
    assert Z.dtype == torch.float32
    rotated = torch.einsum("rij,nj->rni", g.float(), x).bfloat16().float()
    assert close(Z, torch.einsum("rji,rnj->rni", g.float(), rotated), 1e-6)


def test_gradients_flow_through_twisted_predictions():
    x = randn(4, 3).requires_grad_()
    g = SO3().sample(3, generator(0))
    twist(lambda v: 2 * v, x, g, Vectors(), Vectors()).sum(0).sum().backward()
    assert close(x.grad, torch.full((4, 3), 6.0, dtype=F8))


def test_outputs_that_do_not_fit_are_named():
    x, g = randn(4, 3), SO3().sample(3)
    with pytest.raises(ValueError, match="leading axis of 7 for 3 folded copies"):
        twist(lambda v: v[:7], x, g, Vectors(), Vectors())
    with pytest.raises(ValueError, match="needs 3 components there"):
        twist(lambda v: v[:, :2], x, g, Vectors(), Vectors())
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        twist(lambda v: v, x, g, Vectors(), Vectors(), chunk=0)
    with pytest.raises(ValueError, match="Vectors needs a tensor with a leading axis, not a dict"):
        twist(lambda v: {"force": v}, x, g, Vectors(), Vectors())


def test_inverse_elements_turn_predictions_back():
    x, g = randn(4, 3), SO3().sample(3, generator(0))
    Z = twist(lambda v: torch.ones_like(v), x, g, Vectors(), Vectors())
    assert close(Z[:, 0], inverse(g) @ torch.ones(3, dtype=F8))
