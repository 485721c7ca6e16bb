"""ACE: relaxation as a constrained problem, alpha = gamma driven to 0 by dual ascent (spec relaxation.md 3).

Manolache et al. 2025, "Learning (approximately) equivariant networks via constrained optimization".
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from twirl.relaxation.layer import Modulation, Shared
from twirl.relaxation.method import Method
from twirl.relaxation.places import Place
from twirl.relaxation.terms import Terms

CONSTRAINTS = ("equality", "resilient", "one_sided")


def slack(gamma: Tensor, constraint: str, u: Tensor | None = None, epsilon: float = 0.0) -> Tensor:
    """s_l, which the constraint requires to be 0 (equality) or at most 0 (the others): gamma (places,) -> (places,).

    equality: gamma, or |gamma| - epsilon with epsilon > 0; resilient: |gamma| - u; one_sided: gamma.

    >>> gamma = torch.tensor([1.0, -0.5])
    >>> slack(gamma, "equality"), slack(gamma, "resilient", u=torch.tensor([0.5, 0.5]))
    (tensor([ 1.0000, -0.5000]), tensor([0.5000, 0.0000]))
    """
    if constraint == "resilient":
        return gamma.abs() - u
    return gamma.abs() - epsilon if epsilon else gamma


def lagrangian(s: Tensor, multipliers: Tensor, c: float = 0.0, mean: bool = False) -> Tensor:
    """sum_l lambda_l s_l + c s_l^2, or the mean over places; the multipliers get no gradient.

    >>> lagrangian(torch.tensor([1.0, -0.5]), torch.tensor([2.0, 2.0]))
    tensor(1.)
    """
    terms = multipliers.detach() * s + c * s.square()
    return terms.mean() if mean else terms.sum()


def dual_ascent(multipliers: Tensor, s: Tensor, lr: float, nonnegative: bool) -> Tensor:
    """lambda + lr s, clamped to at least 0 if the constraint is an inequality (spec relaxation.md 3.1).

    >>> dual_ascent(torch.zeros(2), torch.tensor([1.0, -1.0]), lr=0.5, nonnegative=True)
    tensor([0.5000, 0.0000])
    """
    moved = multipliers + lr * s
    return moved.clamp_min(0) if nonnegative else moved


def adam_ascent(
    multipliers: Tensor,
    s: Tensor,
    moments: Tensor,
    t: int | Tensor,
    lr: float,
    nonnegative: bool,
    eps: float = 1e-8,
) -> tuple[Tensor, Tensor]:
    """One step t = 1, 2, ... of Adam on lambda with gradient -s: (lambda, moments), moments (2, places) from 0.

    >>> moved, _ = adam_ascent(torch.zeros(1), torch.ones(1), torch.zeros(2, 1), t=1, lr=0.5, nonnegative=False)
    >>> moved  # Adam's first step has the size lr
    tensor([0.5000])
    """
    first = 0.9 * moments[0] - 0.1 * s
    second = 0.999 * moments[1] + 0.001 * s.square()
    step = (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + eps)
    moved = multipliers - lr * step
    return moved.clamp_min(0) if nonnegative else moved, torch.stack([first, second])


def slack_descent(u: Tensor, multipliers: Tensor, lr: float, rho: float) -> Tensor:
    """u - lr (rho u - lambda): the slack variable u grows where the multiplier is large (spec relaxation.md 3.1).

    >>> slack_descent(torch.tensor([1.0]), torch.tensor([3.0]), lr=0.5, rho=1.0)
    tensor([2.])
    """
    return u - lr * (rho * u - multipliers)


def mlp(dim_in: int, hidden: Sequence[int], dim_out: int) -> nn.Sequential:
    """g of ACE's SEGNN: linear maps with biases and exact GELUs between them (spec relaxation.md 3.4).

    >>> mlp(4, (8,), 2)
    Sequential(
      (0): Linear(in_features=4, out_features=8, bias=True)
      (1): GELU(approximate='none')
      (2): Linear(in_features=8, out_features=2, bias=True)
    )
    """
    widths = [dim_in, *hidden, dim_out]
    layers: list[nn.Module] = []
    for i, o in pairwise(widths):
        layers += [nn.Linear(i, o), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def published_mlp(place: Place) -> nn.Sequential:
    """`mlp` with the published widths for a place of SEGNN; a configuration can name it as ACE's g.

    >>> place = Place("0", twirl.Scalars(), twirl.Scalars(), 8, 4)
    >>> [layer.out_features for layer in published_mlp(place)[::2]]
    [8, 4, 4]
    """
    return mlp(place.dim_in, (2 * place.dim_out, place.dim_out), place.dim_out)


class ACE(Method):
    """alpha of a place is its gamma, a parameter (initially 1) of the primal optimiser.

    constraint: "equality" (gamma = 0), "resilient" (|gamma| <= u, at the cost rho / 2 |u|^2: the paper's
    partial equivariance) or "one_sided" (gamma <= 0, what the published motion-capture code enforces).
    dual_lr, dual_optimizer ("sgd" or "adam"), dual_eps: of the multipliers lambda. slack_lr: of u.
    epsilon: allow |gamma| <= epsilon instead of gamma = 0. c: weight of an additional sum of s^2.
    mean: the loss takes the mean over places, not the sum. g: place -> module, instead of a linear map.
    readout: default evaluation variant, "projected" (ACE-exact) or "kept" (ACE-appr).

    >>> from twirl.relaxation import ACE, Place, relax
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4))
    >>> relaxed = relax(net, ACE("equality"), [Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4)])
    >>> relaxed.alphas()  # gamma starts at 1
    {'0': {'W': 1.0, 'b': 1.0}}
    """

    name = "ace"

    def __init__(
        self,
        constraint: str = "equality",
        dual_lr: float = 8e-4,
        dual_optimizer: str = "adam",
        dual_eps: float = 1e-8,
        slack_lr: float | None = None,
        rho: float = 1.0,
        epsilon: float = 0.0,
        c: float = 0.0,
        mean: bool = False,
        g: Callable[[Place], nn.Module] | None = None,
        bias: bool = True,
        norm_bound: str = "none",
        readout: str = "projected",
    ):
        super().__init__()
        if constraint not in CONSTRAINTS:
            raise ValueError(f"ACE's constraint must be one of {', '.join(CONSTRAINTS)}, not {constraint!r}.")
        if dual_optimizer not in ("sgd", "adam"):
            raise ValueError(f"ACE's dual_optimizer must be 'sgd' or 'adam', not {dual_optimizer!r}.")
        if constraint == "resilient" and slack_lr is None:
            raise ValueError(
                "ACE's resilient constraint needs slack_lr, the step size of u (the primal one)."
            )
        self.constraint, self.dual_lr = constraint, dual_lr
        self.dual_optimizer, self.dual_eps = dual_optimizer, dual_eps
        self.slack_lr, self.rho, self.epsilon, self.c, self.mean = slack_lr, rho, epsilon, c, mean
        self.make_g, self.bias, self.norm_bound, self.readout = g, bias, norm_bound, readout
        self._slack: Tensor | None = None

    @property
    def nonnegative(self) -> bool:
        """Whether lambda is clamped to at least 0, as for inequalities."""
        return self.constraint != "equality" or self.epsilon > 0

    def attach(self, places: list[Place], layers: list[nn.Module], like: Tensor) -> list[Terms | None]:
        terms = super().attach(places, layers, like)
        self.gamma = nn.Parameter(like.new_ones(len(places)))
        self.register_buffer("multipliers", like.new_zeros(len(places)))
        self.register_buffer("moments", like.new_zeros(2, len(places)))
        self.register_buffer("u", like.new_zeros(len(places)))
        self.register_buffer("dual_steps", torch.zeros((), dtype=torch.long))
        return terms

    def make_terms(self, place: Place, like: Tensor) -> Terms:
        if self.make_g is not None:
            return Terms(place, ("g",), bound="none", g=self.make_g(place), like=like)
        return Terms(place, ("W", "b") if self.bias else ("W",), bound=self.norm_bound, like=like)

    def training_modulations(self, shared: Shared) -> list[Modulation]:
        return self._modulations(self.gamma)

    def settled(self) -> list[Modulation]:
        return self._modulations(self.gamma.detach())

    def _modulations(self, gamma: Tensor) -> list[Modulation]:
        scalars = zip(self.all_terms, gamma.unbind(), strict=True)
        return [Modulation(1.0, dict.fromkeys(terms.names, value)) for terms, value in scalars]

    def extra_loss(self) -> Tensor:
        """The dual terms, and the cost of u, which has no gradient."""
        s = slack(self.gamma, self.constraint, self.u, self.epsilon)
        loss = lagrangian(s, self.multipliers.clone(), self.c, self.mean)
        return loss + self.rho / 2 * self.u.square().sum() if self.constraint == "resilient" else loss

    def after_backward(self) -> None:
        """Stores s for the gamma before the primal step, which the dual step uses."""
        self._slack = slack(self.gamma.detach(), self.constraint, self.u, self.epsilon).clone()

    @torch.no_grad()
    def after_step(self) -> None:
        """The dual step, and the step of u."""
        super().after_step()
        if self._slack is None:
            raise ValueError(
                "ACE: call after_backward() before the optimiser's step, and after_step() after it."
            )
        s, self._slack = self._slack, None
        before = self.multipliers.clone()
        if self.dual_optimizer == "sgd":
            self.multipliers.copy_(dual_ascent(before, s, self.dual_lr, self.nonnegative))
        else:
            self.dual_steps += 1
            t = self.dual_steps.double()
            moved, moments = adam_ascent(
                before, s, self.moments, t, self.dual_lr, self.nonnegative, self.dual_eps
            )
            self.multipliers.copy_(moved)
            self.moments.copy_(moments)
        if self.constraint == "resilient":
            self.u.copy_(slack_descent(self.u, before, self.slack_lr, self.rho))

    def diagnostics(self) -> dict[str, dict[str, float]]:
        return {
            "multiplier": dict(zip((p.name for p in self.places), self.multipliers.tolist(), strict=True))
        }
