"""RECM in a network: what moves, what does not, what is stored, and that a stopped run goes on to the bit."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.twirl.relaxation.toy import F8, NAMES, Dense, batch, network, places, randn, train
from twirl.groups import SO2, SO3, Octahedral, Permutations
from twirl.relaxation import RECM, Labels, Place, Targets, prune, relax
from twirl.relaxation.recm import average_over_ranks
from twirl.relaxation.update import constraint_set, modulation, update_rule
from twirl.representations import IrrepsRep, Permuted, Scalars, Vectors

FORCES = Targets(Vectors(), (1, 3))


def relaxed(a=0.5, seed=0, share=True, **options):
    torch.manual_seed(seed)
    return relax(network(), RECM(a, **{"targets": FORCES, **options}), places(share=share))


def adam(net, lr=1e-2):
    return torch.optim.Adam(net.parameter_groups(lr))


def forward(net, step):
    x, y = batch(step)
    net.observe(y)
    return (net(x) - y).square().mean()


def test_relaxation_starts_active_with_the_first_state():
    net = relaxed()
    assert torch.allclose(net.method.h.norm(dim=-1), torch.ones(3, dtype=F8))
    expected = modulation(net.method.w, net.method.h)
    assert list(net.alphas()["last"].values()) == pytest.approx(expected[2, :2].tolist())
    assert list(net.betas().values()) == pytest.approx((1 + expected[:, 2]).tolist())
    assert set(net.alphas()["first.dir"]) == {"W"}  # declared without bias


def test_the_state_of_a_network_obeys_the_recursion():
    """h after n steps is lemma 4.1's mean of updates, each the definition on the PREVIOUS step's input and target."""
    net, a = relaxed(), 0.5
    optimizer, h_0, updates, inputs = adam(net), net.method.h.clone(), [], []
    net.backbone.last.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    for step in range(6):
        if step:
            x, y = batch(step - 1)
            updates.append(definition(net.method.rule, [x.flatten(0, 1), inputs[-1]], y))
        train(net, optimizer, 1, start=step)
        fade = 1 / (1 + a * len(updates))
        mean = torch.stack(updates).mean(0) if updates else torch.zeros_like(h_0)
        assert torch.allclose(net.method.h, fade * h_0 + (1 - fade) * mean, atol=1e-12)


def definition(rule, z, y):
    """Eq. 3 for the toy's places: z of the two maps that share their input, and of the last."""
    rows = []
    for place, (s, k) in enumerate([(0, 0), (0, 1), (1, 0)]):

        def r(v, W1=rule.W1[s][k], b1=rule.b1[s][k], W2=rule.W2[place]):
            return nn.functional.gelu(v @ W1.mT + b1) @ W2.mT

        targets = y.repeat_interleave(len(z[s]) // len(y), 0)
        rows.append(update_rule(r, z[s], targets, constraint_set(), Vectors(), Vectors()).detach())
    return torch.stack(rows)


def test_gradients_reach_the_rule_and_w_from_the_second_step_on_and_nothing_stored():
    net = relaxed()
    optimizer = adam(net)
    for step in range(4):
        loss = forward(net, step)
        stored = net.method._stored
        optimizer.zero_grad()
        loss.backward()
        own = dict(net.method.named_parameters())
        assert all(p.grad is not None for p in own.values())
        assert net.method.w.grad.any()
        assert all((p.grad.abs().sum() > 0) == (step > 0) for name, p in own.items() if name != "w")
        assert not net.method.h.requires_grad
        assert stored is None or not any(rows.requires_grad for rows in stored)
        assert net.backbone.last.terms.W.grad.any()
        optimizer.step()
        net.after_step()


def test_the_gradient_of_theta_is_that_of_finite_differences():
    net = relaxed(a=2.0)
    optimizer = adam(net)
    train(net, optimizer, 3)
    p = net.method.rule.W2
    loss = forward(net, 3)
    (gradient,) = torch.autograd.grad(loss, p)
    index = divmod(int(gradient[2].abs().argmax()), p.shape[-1])
    with torch.no_grad():
        ends = []
        for shift in (1e-5, -1e-5):
            p[2][index] += shift
            ends.append(forward(net, 3))
            p[2][index] -= shift
    assert float((ends[0] - ends[1]) / 2e-5) == pytest.approx(float(gradient[2][index]), rel=1e-5)


@pytest.mark.parametrize("undo", [False, True])
def test_undoing_gamma_changes_the_gradient_of_theta_alone(undo):
    net = relaxed(undo_gamma=undo)
    train(net, torch.optim.SGD(net.parameters(), 0.0), 3)
    loss = forward(net, 3)
    gradients = torch.autograd.grad(loss, [net.method.rule.W2, net.method.w])
    other = relaxed(undo_gamma=not undo)
    train(other, torch.optim.SGD(other.parameters(), 0.0), 3)
    reference = torch.autograd.grad(forward(other, 3), [other.method.rule.W2, other.method.w])
    gamma = 0.5 / (1 + 0.5 * 3)
    assert torch.allclose(gradients[0] * (gamma if undo else 1 / gamma), reference[0], rtol=1e-10)
    assert torch.allclose(gradients[1], reference[1], rtol=1e-10)


def test_alphas_are_bounded_by_the_state_during_training():
    net = relaxed(a=2.0, terms=("W", "b", "noise"))
    optimizer = adam(net, 0.05)
    for step in range(15):
        train(net, optimizer, 1, start=step)
        assert (net.method.scalars[:, :-1].abs().amax(1) <= net.method.h.norm(dim=-1) * (1 + 1e-12)).all()


OPTIONS = [
    {},
    {"terms": ("W", "b", "noise"), "max_samples": 8},
    {"pool": True, "r_bound": 0.5, "size": 4},
    {"targets": None, "norm_bound": "none", "learn_beta": False},
    {"skip_after": 3, "h0_scale": 0.0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_stopped_run_goes_on_to_the_bit(options, tmp_path):
    net = relaxed(**options)
    losses = train(net, adam(net), 9)
    half = relaxed(**options)
    optimizer = adam(half)
    first = train(half, optimizer, 4)
    torch.save({"net": half.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "checkpoint.pt")
    torch.manual_seed(99)
    resumed = relaxed(seed=5, **options)
    optimizer = adam(resumed)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    resumed.load_state_dict(saved["net"])
    optimizer.load_state_dict(saved["optimizer"])
    assert torch.equal(torch.cat([first, train(resumed, optimizer, 5, start=4)]), losses)
    for key, value in net.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, resumed.state_dict()[key]), key


def test_only_the_first_forward_pass_of_a_step_is_stored():
    def after(accumulate):
        net = relaxed(max_samples=7)
        optimizer = adam(net)
        for step in range(3):
            optimizer.zero_grad()
            for k in range(2 if accumulate else 1):
                x, y = batch(step + 10 * k)
                net.observe(y)
                loss = (net(x) - y).square().mean()
                (loss if k == 0 else 0 * loss).backward()
            optimizer.step()
            net.after_step()
        return net

    once, twice = after(False), after(True)
    assert torch.equal(once.method.h, twice.method.h)
    for a, b in zip(once.method._stored, twice.method._stored, strict=True):
        assert torch.equal(a, b)
    assert once.method.t == twice.method.t == 2


def test_a_forward_pass_that_is_computed_again_draws_the_same_noise():
    class Again(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, v):
            return checkpoint(self.inner, v, use_reentrant=False)

    def gradients(again):
        net = relaxed(terms=("W", "noise"))
        if again:
            net.backbone.first = Again(net.backbone.first)
        net(batch()[0]).square().sum().backward()
        return [p.grad for p in net.parameters() if p.grad is not None]

    for a, b in zip(gradients(False), gradients(True), strict=True):
        assert torch.equal(a, b)


def test_noise_acts_in_training_only_and_differs_between_steps_and_seeds():
    x, _ = batch()

    def output(seed, steps):
        net = relaxed(terms=("noise",), seed=0, targets=None)
        net.method.seed = seed
        for _ in range(steps):
            net(x)
            net.after_step()
        return net(x).detach(), net

    outputs = [output(seed, steps)[0] for seed, steps in [(0, 0), (0, 1), (1, 0)]]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(outputs, 2))
    again, net = output(0, 0)
    assert torch.equal(again, outputs[0])
    net.eval()
    with net.reading("kept"):
        kept = net(x)
    with net.reading("projected"):
        assert torch.equal(net(x), kept)


def test_rows_are_drawn_up_to_the_limit_and_targets_follow_them():
    """Every stored row is a row of the input, next to its own cloud's target."""
    for limit in (4, 256):
        net = relaxed(max_samples=limit)
        train(net, adam(net), 1)
        x, y = batch(0)
        stored = net.method._stored
        assert [len(rows) for rows in stored] == [min(30, limit), min(6, limit)]
        for row in stored[0]:
            cloud = (x.flatten(2) == row[:6]).all(-1).any(1)
            assert cloud.sum() == 1
            assert torch.equal(y[cloud].flatten(), row[6:])


def test_ragged_rows_find_their_targets_by_index():
    place = Place("0", Scalars(), Scalars(), 3, 2)
    layer = nn.Sequential(nn.Linear(3, 2, bias=False, dtype=F8))
    net = relax(layer, RECM(1.0, Labels(3)), [place])
    x, graph = randn(7, 3), torch.tensor([0, 0, 0, 1, 1, 2, 2])
    labels = torch.tensor([2, 0, 1])

    def stored(index):
        net(x)
        net.observe(labels, index)
        net.after_step()
        return net.method._stored[0][:, 3:].argmax(-1).tolist()

    assert stored(graph) == [2, 2, 2, 0, 0, 1, 1]
    assert stored({"0": graph}) == [2, 2, 2, 0, 0, 1, 1]
    with pytest.raises(ValueError, match=r"place '0'.*7 rows do not divide among targets .*index"):
        stored(None)
    with pytest.raises(ValueError, match="index has 6 entries for 7 rows"):
        stored(graph[:6])


def test_sharing_an_input_changes_nothing_but_the_memory():
    one, two = relaxed(), relaxed(share=False)
    state = one.method.rule.state_dict()
    for name in ("W1", "b1"):
        shared = state[f"{name}.0"]
        state |= {f"{name}.0": shared[:1], f"{name}.1": shared[1:], f"{name}.2": state[f"{name}.1"]}
    two.method.rule.load_state_dict(state)
    two.backbone.load_state_dict(one.backbone.state_dict())
    two.method.w.data.copy_(one.method.w)
    two.method.scalars.copy_(one.method.scalars)
    assert torch.allclose(train(one, adam(one), 6), train(two, adam(two), 6), rtol=1e-9)
    assert len(one.method._stored) == 2
    assert len(two.method._stored) == 3


def test_the_state_stays_in_single_precision_under_autocast():
    torch.manual_seed(0)
    net = relax(network(dtype=torch.float32), RECM(1e-5, FORCES, terms=("W", "b", "noise")), places())
    optimizer = adam(net)
    for step in range(3):
        x, y = (t.float() for t in batch(step))
        net.observe(y)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = (net(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        before = net.method.h.clone()
        net.after_step()
    assert net.method.h.dtype == net.method._stored[0].dtype == torch.float32
    assert 0 < (net.method.h - before).abs().max() < 1e-4


def test_the_methods_own_group_never_decays():
    net = relaxed()
    rest, own = net.parameter_groups(1e-3, recm_lr_mult=5, weight_decay=1e-4)
    assert rest["weight_decay"] == 1e-4
    assert own["weight_decay"] == 0
    assert own["eps"] == 1e-12
    assert own["lr"] == pytest.approx(5e-3)
    assert {id(p) for p in own["params"]} == {id(p) for p in net.method.parameters()}
    assert len(rest["params"]) + len(own["params"]) == len(list(net.parameters()))


def test_places_that_stay_quiet_are_skipped_and_cost_nothing():
    torch.manual_seed(0)
    net = relax(network(Dense), RECM(1e-6, FORCES, skip_after=4, h0_scale=1e-3), places())
    optimizer = adam(net)
    train(net, optimizer, 3)
    with torch.no_grad():
        net.method.scalars[:, -1] = 0.8  # beta of the last step
    x, _ = batch()
    projected = net.eval()(x)
    net.method._skip()
    assert net.method._skipped == [True] * 3
    assert torch.allclose(net(x), projected, rtol=1e-12)  # beta is now part of the layers
    assert net.betas() == dict.fromkeys(NAMES, 1.0)
    assert net.backbone.last.acts_as is net.backbone.last.equivariant
    before = copy.deepcopy(net.method.state_dict())
    calls = []
    net.method.rule.register_forward_hook(lambda *_: calls.append(1))
    assert train(net.train(), optimizer, 3, start=5).isfinite().all()
    assert not calls
    assert net.alphas() == {name: {} for name in NAMES}
    assert torch.equal(before["h"], net.method.h)
    assert net.backbone.last.terms.W.grad is None
    assert net.parameter_counts()["active"] == net.parameter_counts()["plain"]
    assert type(prune(net).last) is Dense


def test_lipschitz_constants_are_logged_for_every_place():
    net = relaxed()
    assert list(net.method.lipschitz()) == list(NAMES)
    assert max(relaxed(r_bound=1.0).method.lipschitz().values()) <= 1.129 * (1 + 1e-9)


def test_relaxation_dies_on_symmetric_data_and_stays_where_a_direction_is_needed():
    """200 steps, a T = 100: the aligned targets need a constant vector, the same turned with their clouds none."""
    ends = {}
    for aligned in (True, False):
        net = relaxed(a=0.5)

        def data(step, aligned=aligned):
            x, y = batch(step, 12)
            return (x, y) if aligned else turned(x, y, step)

        train(net, adam(net, 2e-2), 200, data=data)
        ends[aligned] = max(abs(v) for terms in net.alphas().values() for v in terms.values())
    assert ends[False] < 0.05, ends  # 0.009 to 0.028 over four seeds
    assert ends[True] > 0.5, ends  # 1.9 to 2.4 over three


def turned(x, y, step):
    """Clouds and targets turned together, each by its own rotation."""
    g = SO3().sample(len(x), torch.Generator().manual_seed(step))
    return Vectors().act_rows(g, x), Vectors().act_rows(g, y)


class Steerable(nn.Module):
    """2x0e + 1x1o -> 1x0e + 2x1o, as in e3nn."""

    def __init__(self):
        super().__init__()
        self.scalars, self.vectors = nn.Parameter(randn(1, 2)), nn.Parameter(randn(2, 1))

    def forward(self, x):
        vectors = self.vectors @ x[..., 2:].unflatten(-1, (1, 3))
        return torch.cat([x[..., :2] @ self.scalars.mT, vectors.flatten(-2)], dim=-1)


class Sets(nn.Module):
    """Equivariant under permutations of the four things along the last axis but one."""

    def __init__(self):
        super().__init__()
        self.share = nn.Parameter(torch.ones((), dtype=F8))

    def forward(self, x):
        return torch.tanh(x) + self.share * x.mean(-2, keepdim=True)


@pytest.mark.parametrize(
    ("layer", "acts", "sizes", "group", "elements"),
    [
        (Steerable(), (IrrepsRep("2x0e + 1x1o"), IrrepsRep("1x0e + 2x1o")), (5, 7), SO3(), 2),
        (Steerable(), (IrrepsRep("2x0e + 1x1o"), IrrepsRep("1x0e + 2x1o")), (5, 7), SO2("y"), 1),
        (Steerable(), (IrrepsRep("2x0e + 1x1o"), IrrepsRep("1x0e + 2x1o")), (5, 7), Octahedral(), 2),
        (Sets(), (Permuted(), Permuted()), ((4, 2), (4, 2)), Permutations(4), 2),
    ],
)
def test_any_representation_of_any_group_with_generators_can_be_relaxed(layer, acts, sizes, group, elements):
    torch.manual_seed(0)
    method = RECM(1.0, group=group, max_samples=8)
    net = relax(nn.Sequential(layer, nn.Identity()).to(F8), method, [Place("0", *acts, *sizes)])
    assert len(method.elements) == elements
    optimizer = torch.optim.Adam(net.parameter_groups(1e-2))
    x = randn(20, *net.places[0].features_in)
    for _ in range(3):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        net.after_step()
    assert method.rule.W2.grad.any()
    g = group.sample(3, torch.Generator().manual_seed(1))
    with net.eval().reading("projected"):
        turned = net(acts[0].act(g, x[None]).flatten(0, 1))
        assert torch.allclose(turned, acts[1].act(g, net(x)[None]).flatten(0, 1), atol=1e-12)
    with net.reading("kept"):
        turned = net(acts[0].act(g, x[None]).flatten(0, 1))
        assert not torch.allclose(turned, acts[1].act(g, net(x)[None]).flatten(0, 1), atol=1e-3)


def test_outside_of_a_distributed_run_the_average_over_ranks_is_the_value():
    x = randn(3)
    assert average_over_ranks(x) is x


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="a > 0"):
        RECM(0.0)
    with pytest.raises(ValueError, match="some of W, b, noise"):
        RECM(1.0, terms=("W", "c"))
    net = relaxed()
    with pytest.raises(ValueError, match="after_step\\(\\) needs a forward pass in training mode"):
        net.after_step()
    net(batch()[0])
    with pytest.raises(ValueError, match="targets of this step were not observed; call observe"):
        net.after_step()
