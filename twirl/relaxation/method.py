"""`Method`: the interface between a relaxed network and the rule that sets its alpha and beta.

Spec relaxation.md 6. A training loop calls, once per optimiser step and in this order:
`observe(targets)`, the forward pass, `extra_loss()`, backward, `after_backward()`, the optimiser's step,
`after_step()`; and `set_epoch(epoch)` at the start of every epoch.
"""

from typing import Any

import torch
from torch import Tensor, nn

from twirl.relaxation.layer import Modulation, Shared
from twirl.relaxation.places import Place
from twirl.relaxation.terms import Terms, after_steps

READOUTS = ("projected", "kept", "pruned")
PRUNE_BELOW = 0.01  # paper B appendix C


class Method(nn.Module):
    """The base of all methods; used directly, it relaxes nothing.

    name: identifies the method in checkpoints. readout: the default evaluation variant: "projected"
    (f_eq with its beta), "kept" (every term) or "pruned" (without the terms with |alpha| below `prune_below`).
    seed: of the method's random numbers; a training loop sets it to the seed of the run.

    >>> from twirl.relaxation import Method, Place, relax
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4))
    >>> relax(net, Method(), [Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4)]).alphas()
    {'0': {}}
    """

    name = "none"
    readout = "projected"
    seed = 0

    def __init__(self, prune_below: float = PRUNE_BELOW):
        super().__init__()
        self.prune_below = prune_below
        self.places: list[Place] = []

    def attach(self, places: list[Place], layers: list[nn.Module], like: Tensor) -> list[Terms | None]:
        """Attaches the method to a network's places and layers f_eq; returns their terms. like: gives dtype, device."""
        if self.places:
            raise ValueError(f"this {type(self).__name__} already belongs to a network; make one for each.")
        self.places = places
        terms = [self.make_terms(place, like) for place in places]
        # Both are registered in the network's layers, and must not be registered a second time.
        self.__dict__["all_terms"], self.__dict__["layers"] = terms, layers
        return terms

    def make_terms(self, place: Place, like: Tensor) -> Terms | None:
        """The terms f_un of one place, or None."""
        return None

    def training_modulations(self, shared: Shared) -> list[Modulation]:
        """alpha and beta for a forward pass in training; may request that `shared` records inputs."""
        return [Modulation() for _ in self.places]

    def settled(self) -> list[Modulation]:
        """The current alpha and beta of every term, without gradients, for evaluation."""
        return [Modulation() for _ in self.places]

    def observe(self, targets: Tensor, index: Any = None) -> None:
        """Receives the targets of this step's batch; only RECM uses them."""

    def extra_loss(self) -> Tensor:
        """The method's term of the loss in this step; 0 for most methods."""
        return torch.zeros(())

    def after_backward(self) -> None:
        """Called between the backward pass and the optimiser's step."""

    def after_step(self) -> None:
        """Called after the optimiser's step."""
        after_steps([terms for terms in self.all_terms if terms is not None])

    def set_epoch(self, epoch: int) -> None:
        """Called at the start of an epoch, counted from 0."""

    def diagnostics(self) -> dict[str, dict[str, float]]:
        """Quantities of the method to log for every place: {quantity: {place: value}}."""
        return {}

    def own_parameters(self) -> list[nn.Parameter]:
        """Parameters that need a separate group in Adam (RECM's theta and w)."""
        return []

    def local_state(self) -> dict[str, Any]:
        """The state that differs between the ranks of a distributed run."""
        return {}

    def load_local_state(self, state: dict[str, Any]) -> None:
        """Undo `local_state`."""
