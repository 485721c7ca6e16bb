"""RPP: an unconstrained term parallel to every equivariant layer, also in evaluation (spec relaxation.md 5).

Finzi et al. 2021, "Residual pathway priors", as paper B's Table 1 uses it, without schedule or constraint.
"""

import torch
from torch import Tensor, nn

from twirl.relaxation.layer import Modulation, Shared
from twirl.relaxation.method import Method
from twirl.relaxation.places import Place
from twirl.relaxation.terms import Terms


class RPP(Method):
    """alpha = 1 always; evaluation keeps the terms.

    init_scale: factor of the usual initial values of the terms. lambda_basic, lambda_equiv: the Gaussian priors
    lambda_basic * sum |W|^2 + lambda_equiv * sum |w_eq|^2 over weights (no biases), 0 in paper B's use and
    1e2, 1e-3 in the original's.

    >>> from twirl.relaxation import RPP, Place, relax
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4))
    >>> relax(net, RPP(), [Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4)]).alphas()
    {'0': {'W': 1.0, 'b': 1.0}}
    """

    name = "rpp"
    readout = "kept"

    def __init__(
        self,
        init_scale: float = 1e-3,
        bias: bool = True,
        lambda_basic: float = 0.0,
        lambda_equiv: float = 0.0,
        norm_bound: str = "none",
    ):
        super().__init__()
        self.init_scale, self.bias, self.norm_bound = init_scale, bias, norm_bound
        self.lambda_basic, self.lambda_equiv = lambda_basic, lambda_equiv

    def make_terms(self, place: Place, like: Tensor) -> Terms:
        names = ("W", "b") if self.bias else ("W",)
        return Terms(place, names, bound=self.norm_bound, init_scale=self.init_scale, like=like)

    def training_modulations(self, shared: Shared) -> list[Modulation]:
        return self.settled()

    def settled(self) -> list[Modulation]:
        return [Modulation(1.0, dict.fromkeys(terms.names, 1.0)) for terms in self.all_terms]

    def extra_loss(self) -> Tensor:
        """The two priors."""
        loss = torch.zeros(())
        if self.lambda_basic:
            loss = loss + self.lambda_basic * sum(terms.W.square().sum() for terms in self.all_terms)
        if self.lambda_equiv:
            loss = loss + self.lambda_equiv * sum(
                w.square().sum() for layer in self.layers for w in _weights(layer)
            )
        return loss


def _weights(layer: nn.Module) -> list[Tensor]:
    """A layer's parameters except its biases."""
    return [p for name, p in layer.named_parameters() if not name.split(".")[-1].startswith("bias")]
