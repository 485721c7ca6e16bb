"""The interface: what holds for every method, readouts, pruning, counting, checkpoints, and what is refused."""

import copy
import doctest
import subprocess
import sys

import pytest
import torch

import twirl.relaxation
from tests.twirl.relaxation.toy import F8, Channels, Dense, Toy, batch, network, places, randn, train
from twirl.groups import SO3, AxisPreserving
from twirl.relaxation import ACE, ES, RECM, RPP, Labels, Method, Place, Targets, prune, relax
from twirl.representations import IrrepsRep, Scalars, Vectors

FORCES = Targets(Vectors(), (1, 3))
METHODS = {
    "none": lambda: Method(),
    "recm": lambda: RECM(0.5, FORCES, terms=("W", "b", "noise")),
    "es": lambda: ES(4, init=0.3),
    "rpp": lambda: RPP(init_scale=1.0),
    "ace": lambda: ACE(),
}
every_method = pytest.mark.parametrize("name", METHODS)
both_layers = pytest.mark.parametrize("channels", [Channels, Dense])


def trained(name, channels=Channels, steps=6, seed=0):
    torch.manual_seed(seed)
    net = relax(network(channels), METHODS[name](), places())
    net.set_epoch(1)
    train(net, torch.optim.Adam(net.parameter_groups(1e-2)), steps)
    return net


def plain_copy(net, channels=Channels):
    """The plain network with the relaxed one's f_eq."""
    plain = Toy(channels, 4).to(F8)
    state = net.backbone.state_dict()
    plain.load_state_dict({k.replace(".equivariant", ""): v for k, v in state.items() if ".terms." not in k})
    return plain


def equivariance_error(net, x):
    g = SO3().sample(4, torch.Generator().manual_seed(0))
    return max((net(x @ k.mT) - net(x) @ k.mT).abs().max().item() for k in g)


def test_the_example_of_the_package_runs_and_is_short():
    result = doctest.testmod(twirl.relaxation)
    assert result.attempted >= 10
    assert result.failed == 0
    lines = [line for line in twirl.relaxation.__doc__.splitlines() if line.startswith((">>>", "..."))]
    assert len(lines) <= 15


@every_method
def test_a_checkpoint_is_marked_with_its_methods_name(name):
    assert METHODS[name]().name == name


def test_what_the_package_offers_is_loaded_on_first_use():
    code = (
        "import sys, twirl.relaxation as r; assert 'torch' not in sys.modules; "
        "assert callable(r.relax) and callable(r.prune) and all(hasattr(r, name) for name in r.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match=r"'twirl\.relaxation' has no attribute 'unknown'"):
        twirl.relaxation.unknown  # noqa: B018


@every_method
def test_the_original_network_is_not_touched(name):
    net = network()
    before = copy.deepcopy(net.state_dict())
    relaxed = relax(net, METHODS[name](), places())
    train(relaxed, torch.optim.Adam(relaxed.parameters(), 1e-2), 2)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert type(net.last) is Channels


@every_method
@both_layers
def test_projected_is_the_plain_network_to_the_bit(name, channels):
    net = trained(name, channels)
    if name == "recm":
        net.method.scalars[:, -1] = 1.0  # beta
    plain, (x, _) = plain_copy(net, channels), batch()
    with net.eval().reading("projected"):
        assert torch.equal(net(x), plain(x))
        assert equivariance_error(net, x) < 1e-12


@pytest.mark.parametrize("name", ["recm", "es", "rpp", "ace"])
@both_layers
def test_kept_terms_break_equivariance_and_gradients_are_of_the_same_function(name, channels):
    net, (x, _) = trained(name, channels).eval(), batch()
    with net.reading("kept"):
        assert equivariance_error(net, x) > 1e-3


@both_layers
def test_one_merged_product_gives_the_numbers_of_two(channels):
    """Values and gradients of a layer that offers its matrix are those of one that does not."""
    results = []
    for kind in (Channels, channels):
        net = relax(network(kind), METHODS["rpp"](), places())
        net.load_state_dict(relax(network(), METHODS["rpp"](), places()).state_dict(), strict=True)
        torch.manual_seed(0)
        for p in net.parameters():
            p.data = torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()), dtype=F8) * 0.3
        loss = net(batch()[0]).square().sum()
        results.append((loss, *torch.autograd.grad(loss, list(net.parameters()))))
    for one, two in zip(*results, strict=True):
        assert torch.allclose(one, two, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("readout", ["projected", "kept", "pruned"])
@both_layers
def test_a_pruned_network_gives_the_same_output_to_the_bit(name, readout, channels):
    net, (x, _) = trained(name, channels).eval(), batch()
    if name == "recm":
        net.method.scalars[0, 0] = 0.005
    small = prune(net, readout)
    with net.reading(readout):
        assert torch.equal(small(x), net(x))
        counts = net.parameter_counts(readout)
    assert sum(p.numel() for p in small.parameters()) == counts["active"]
    assert not [k for k in small.state_dict() if "noise" in k or "sigma" in k]


def test_a_pruned_network_keeps_every_digit_of_a_scheduled_alpha():
    net, (x, _) = trained("es").eval(), batch()
    net.method.alpha = 0.63  # no number of single precision
    with net.reading("kept"):
        assert torch.equal(prune(net, "kept")(x), net(x))


def test_a_network_whose_terms_are_all_dead_has_the_plain_parameters():
    net = trained("recm").eval()
    net.method.scalars[:, :-1] = 0.0099
    small = prune(net)
    plain = network()
    assert sum(p.numel() for p in small.parameters()) == sum(p.numel() for p in plain.parameters())
    assert net.parameter_counts()["active"] == net.parameter_counts()["plain"]
    assert small.last.scale_beta != 1
    net.method.scalars[:, -1] = 1.0
    assert prune(net).state_dict().keys() == plain.state_dict().keys()
    assert type(prune(net).last) is Channels


def test_parameters_are_counted_by_where_they_belong():
    net = relax(network(), METHODS["recm"](), places())
    weights = 3 * 3 * (2 * 4 + 2 * 4 + 4)
    counts = net.parameter_counts("kept")
    assert counts["plain"] == 2 * 4 + 2 * 4 + 4
    assert counts["terms"] == weights + 12 + 3 + 3  # W, b of two places, sigma of three
    rule = (6 + 3) * 16 * 2 + (12 + 3) * 16 + 3 * (16 + 256)
    assert counts["method"] == rule + 3 * 4 * 16
    assert counts["active"] == counts["plain"] + weights + 15
    assert sum(p.numel() for p in net.parameters()) == counts["plain"] + counts["terms"] + counts["method"]


def test_one_place_can_be_read_without_its_terms():
    net, (x, _) = trained("rpp").eval(), batch()
    kept = net(x)
    with net.reading("kept", without=["last"]):
        assert not torch.equal(net(x), kept)
    with net.reading("kept", without=["first.feat", "first.dir", "last"]):
        assert torch.equal(net(x), plain_copy(net)(x))
    assert torch.equal(net(x), kept)
    with pytest.raises(ValueError, match="no place 'lost'"), net.reading("kept", without=["lost"]):
        pass
    with pytest.raises(ValueError, match="one of projected, kept, pruned, not 'raw'"), net.reading("raw"):
        pass


@every_method
def test_a_relaxed_network_can_be_copied_and_saved_in_the_midst_of_training(name, tmp_path):
    net = trained(name)
    x, y = batch(9)
    net.observe(y)
    (net(x).sum() + net.extra_loss()).backward()
    twin = copy.deepcopy(net).eval()
    torch.save(net.state_dict(), tmp_path / "state.pt")
    other = relax(network(), METHODS[name](), places())
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    other.eval()
    net.eval()
    assert torch.equal(twin(x), net(x))
    assert torch.equal(other(x), net(x))


@every_method
def test_evaluation_changes_nothing_and_draws_nothing(name):
    net = trained(name).eval()
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    first = net(batch()[0])
    assert torch.equal(net(batch()[0]), first)
    after = net.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items() if isinstance(v, torch.Tensor))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_checkpoint_of_another_method_is_refused():
    state = trained("es").state_dict()
    with pytest.raises(
        ValueError, match="written by a network relaxed by 'es'; this one is relaxed by 'recm'"
    ):
        relax(network(), METHODS["recm"](), places()).load_state_dict(state)


def test_a_method_belongs_to_one_network():
    method = RPP()
    relax(network(), method, places())
    with pytest.raises(ValueError, match="already belongs to a network"):
        relax(network(), method, places())


def test_the_backbone_alone_cannot_be_called():
    net = relax(network(), RPP(), places())
    with pytest.raises(RuntimeError, match="call the relaxed network itself"):
        net.backbone(batch()[0])


def test_a_place_that_does_not_match_its_layer_is_refused():
    wrong = Place("last", IrrepsRep("4x0e + 8x0e"), IrrepsRep("3x0e"), 12, 3)
    with pytest.raises(ValueError, match="place 'last'"):
        relax(network(), RPP(), [wrong])
    scalars = Place("last", Scalars(), Vectors(), (4, 3), (1, 3))
    with pytest.raises(ValueError, match="'last': the layer is not equivariant under"):
        relax(network(), RPP(), [scalars])
    relax(network(), RPP(), [scalars], check=False)


def test_a_group_without_generators_is_refused():
    with pytest.raises(ValueError, match="has no generators"):
        RECM(1.0, group=AxisPreserving())


def test_a_layer_may_take_more_than_its_features():
    class Gated(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.map = torch.nn.Linear(3, 3, bias=False, dtype=F8)

        def forward(self, s, gate):
            return self.map(s) * gate

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gated = Gated()

        def forward(self, s, gate):
            return self.gated(s, gate)

    net = relax(Net(), RPP(init_scale=1.0), [Place("gated", Scalars(), Scalars(), 3, 3)])
    s, gate = randn(5, 3), randn(5, 1, seed=1)
    terms = net.backbone.gated.terms
    assert torch.allclose(net(s, gate), net.backbone.gated.equivariant(s, gate) + terms(s))
    with pytest.raises(ValueError, match="declared features"):
        net(randn(5, 4), gate)


@pytest.mark.parametrize("axes", [(1, 2), (2, 1), (-1, -2), (-2, -1), (-1, 0)], ids=str)
@pytest.mark.parametrize("bound", ["none", "output_rescale"])
@pytest.mark.parametrize("offers_matrix", [True, False])
def test_features_may_lie_on_other_axes(axes, bound, offers_matrix):
    """The same numbers for (batch, channels, 3, points) and the like as for (batch, points, channels, 3)."""

    class Moved(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.map = Dense(2, 4).to(F8)
            if offers_matrix:
                self.matrix = self.map.matrix

        def forward(self, v):
            return self.map(v.movedim(axes, (-2, -1))).movedim((-2, -1), axes)

    x, v = batch()[0], Vectors()
    plain = torch.nn.Sequential(Channels(2, 4).to(F8))
    one = relax(plain, RPP(init_scale=1.0, norm_bound=bound), [Place("0", v, v, (2, 3), (4, 3))])
    moved = torch.nn.Sequential(Moved())
    two = relax(moved, RPP(init_scale=1.0, norm_bound=bound), [Place("0", v, v, (2, 3), (4, 3), axes=axes)])
    two.load_state_dict(
        {k.replace("equivariant.", "equivariant.map."): p for k, p in one.state_dict().items()}
    )
    found = two(x.movedim((-2, -1), axes)).movedim(axes, (-2, -1))
    assert torch.allclose(found, one(x), atol=1e-14)


def test_a_relaxed_layer_tells_while_it_acts_as_the_plain_one():
    net = relax(network(), ES(4), places())
    layer, x = net.backbone.last, batch()[0]
    assert layer.acts_as is None
    net(x)
    assert layer.acts_as is None  # its input is needed for the penalty
    net.eval()(x)
    assert layer.acts_as is layer.equivariant
    net.set_epoch(1)
    with net.reading("kept"):
        net(x)
        assert layer.acts_as is None


def test_rpp_keeps_its_terms_and_its_priors_are_sums_of_squares():
    net = relax(network(), RPP(lambda_basic=100.0, lambda_equiv=1e-3), places())
    free = sum(net.backbone.get_submodule(p.name).terms.W.square().sum() for p in places())
    equivariant = sum(p.square().sum() for p in network().parameters())
    assert torch.allclose(net.extra_loss(), 100 * free + 1e-3 * equivariant)
    assert relax(network(), RPP(), places()).extra_loss() == 0
    assert net.alphas() == {
        "first.feat": {"W": 1.0, "b": 1.0},
        "first.dir": {"W": 1.0},
        "last": {"W": 1.0, "b": 1.0},
    }
    assert net.backbone.last.terms.W.abs().max() < 1e-3 * 12**-0.5
    assert net.betas() == dict.fromkeys(net.betas(), 1.0)


def test_labels_and_targets_are_checked_when_observed():
    net = relax(network(), RECM(1.0, Labels(4)), places())
    with pytest.raises(ValueError, match="labels are integers"):
        net.observe(torch.zeros(6))
    net = relax(network(), RECM(1.0, FORCES), places())
    with pytest.raises(ValueError, match=r"targets of shape \(6, 2\) do not end in the declared \(1, 3\)"):
        net.observe(torch.zeros(6, 2))
