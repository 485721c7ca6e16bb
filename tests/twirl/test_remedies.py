"""Wrappers that make a model equivariant: exactly for finite groups and principal-axes frames, nearly for SO(3)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twirl.decomposition import decompose
from twirl.groups import SO3, Cyclic, Octahedral
from twirl.remedies import Canonicalised, Twirled, pca_frames
from twirl.representations import BatchIndex, Identity, Scalars, Tree, Vectors
from twirl.rotations import rotation_set

F8 = torch.float64


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=F8)


W, V = randn(3, 8), randn(8, 3, seed=1)
X = randn(5, 7, 3, seed=2)


def network(v):
    """Not equivariant, and points of a cloud see each other."""
    return torch.sin(v @ W) @ V + v.mean(-2, keepdim=True).roll(1, -1)


def errors(model, x, acts_on_x, acts_on_y, g):
    """The largest |f(g x) - g f(x)| over rotations g."""
    y = model(x)
    turned = [model(acts_on_x.act(k[None], x[None])[0]) for k in g]
    return max((a - acts_on_y.act(k[None], y[None])[0]).abs().max() for a, k in zip(turned, g, strict=True))


@pytest.mark.parametrize("group", [Octahedral(), Cyclic(5, "y")], ids=lambda g: type(g).__name__)
def test_the_twirl_over_an_enumerated_group_is_exactly_equivariant(group):
    model = Twirled(network, group, Vectors(), Vectors(), chunk=7)
    assert errors(model, X, Vectors(), Vectors(), group.elements()) < 1e-13
    assert errors(network, X, Vectors(), Vectors(), group.elements()) > 0.1


def test_more_rotations_leave_less_equivariance_error():
    rotations = rotation_set("iid", 10, generator(0))

    def error(model):
        return decompose(model, X, torch.zeros_like(X), rotations, Vectors(), Vectors()).unbiased.L_equiv

    few, many = (error(Twirled(network, n, Vectors(), Vectors())) for n in (8, 64))
    assert many < 0.05 * few
    assert few < 0.2 * error(network)


def test_twirling_never_raises_the_mean_error_over_rotations():
    y = randn(5, 7, 3, seed=3)
    group = Octahedral()
    found = decompose(network, X, y, rotation_set("iid", 40, generator(0), group=group), Vectors(), Vectors())
    twirled = Twirled(network, group, Vectors(), Vectors())
    assert (twirled(X) - y).square().mean() < found.naive.L_total


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
@pytest.mark.parametrize("acts_on_y", [Vectors(), Scalars()], ids=["vectors", "scalars"])
def test_principal_axes_make_point_clouds_exactly_equivariant(acts_on_y, seed):
    def model(v):
        return network(v) if isinstance(acts_on_y, Vectors) else network(v).sum((1, 2))

    canonical = Canonicalised(model, Vectors(), acts_on_y)
    x, g = randn(4, 9, 3, seed=seed), SO3().sample(4, generator(seed))
    assert errors(canonical, x, Vectors(), acts_on_y, g) < 1e-8


def test_principal_axes_keep_a_model_that_is_equivariant_already():
    x = randn(4, 9, 3)
    assert torch.allclose(Canonicalised(lambda v: v * v.norm(dim=-1, keepdim=True), Vectors(), Vectors())(x),
                          x * x.norm(dim=-1, keepdim=True))  # fmt: skip


def test_principal_axes_do_not_reflect():
    """A chirality is an invariant: a frame with a reflection would average it away."""

    def handedness(v):
        return torch.linalg.det(v[:, :3])

    x = randn(4, 9, 3)
    assert torch.allclose(Canonicalised(handedness, Vectors(), Scalars())(x), handedness(x))


def test_ragged_batches_have_a_frame_for_each_sample():
    counts = torch.tensor([6, 9, 5])
    graph = torch.repeat_interleave(torch.arange(3), counts)
    batch = {"positions": randn(20, 3), "z": randn(20, 1, seed=5), "graph": graph}
    acts = Tree({"positions": Vectors(), "z": Identity(), "graph": BatchIndex()})

    def model(b):
        centre = torch.zeros(int(b["graph"].max()) + 1, 3, dtype=F8).index_add_(0, b["graph"], b["positions"])
        return torch.sin(b["positions"] @ W) @ V * b["z"] + centre.roll(1, -1)[b["graph"]]

    canonical = Canonicalised(
        model, acts, Vectors(), points=lambda b: b["positions"], sample_index=lambda b: b["graph"]
    )
    y = canonical(batch)
    g = SO3().sample(3, generator(0))[graph]  # every sample turned on its own
    turned = canonical(batch | {"positions": Vectors().act_rows(g, batch["positions"])})
    assert torch.allclose(turned, Vectors().act_rows(g, y), atol=1e-9)
    alone = graph == 1
    single = canonical(
        {"positions": batch["positions"][alone], "z": batch["z"][alone], "graph": graph[alone] - 1}
    )
    assert torch.allclose(single, y[alone], atol=1e-9)


def test_frames_turn_principal_axes_onto_the_coordinate_axes():
    g = pca_frames(X)
    assert g.shape == (5, 4, 3, 3)
    assert torch.allclose(torch.linalg.det(g), torch.ones(5, 4, dtype=F8))
    centred = X - X.mean(1, keepdim=True)
    posed = centred[:, None] @ g.mT
    moments = posed.mT @ posed
    assert torch.allclose(moments, torch.diag_embed(moments.diagonal(dim1=-2, dim2=-1)), atol=1e-10)
    assert (moments.diagonal(dim1=-2, dim2=-1).diff(dim=-1) > 0).all()


def test_wrappers_follow_the_dtype_of_the_data_and_keep_parameters():
    layer = torch.nn.Linear(3, 3)
    for wrapper in (Twirled(layer, 4, Vectors(), Vectors()), Canonicalised(layer, Vectors(), Vectors())):
        assert wrapper(X.float()).dtype == torch.float32
        assert [name for name, _ in wrapper.named_parameters()] == ["model.weight", "model.bias"]


def test_points_that_have_no_frame_are_named():
    with pytest.raises(ValueError, match=r"frames need points \(samples, points, 3\), not \(7, 3\)"):
        pca_frames(X[0])
    with pytest.raises(ValueError, match="with a sample_index"):
        pca_frames(X, torch.zeros(7, dtype=torch.long))
    with pytest.raises(ValueError, match="finite"):
        pca_frames(X / 0)
    with pytest.raises(ValueError, match="infinite and cannot be enumerated"):
        Twirled(network, SO3(), Vectors(), Vectors())
