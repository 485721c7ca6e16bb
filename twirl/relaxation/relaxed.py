"""`relax`, which copies a network with relaxed layers in its places, and `Relaxed`, the copy for a training loop."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from twirl.groups import SO3
from twirl.relaxation.layer import Modulation, RelaxedLayer, Shared
from twirl.relaxation.method import READOUTS, Method
from twirl.relaxation.places import Place, check_places


def relax(module: nn.Module, method: Method, places: Sequence[Place], check: bool = True) -> "Relaxed":
    """A copy of `module` in which each place is f = beta f_eq + sum_i alpha_i f_un,i; `method` sets the scalars.

    places: the layers that the backbone declares. check: tests on random features that every layer is equivariant under
    its declared representations (a layer with more inputs than its features is only checked for shapes when it runs).
    Errors: ValueError, naming the place, for places that do not exist, overlap or do not fit.

    >>> from twirl.relaxation import ES, Place, relax
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4))
    >>> relaxed = relax(net, ES(epochs=10), [Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4)])
    >>> x = torch.randn(5, 3)
    >>> torch.equal(relaxed.eval()(x), net(x))  # ES is evaluated without its terms
    True
    """
    return Relaxed(module, method, places, check)


class Relaxed(nn.Module):
    """A relaxed network, called like the backbone that it copies; see `Method` for the other calls of a training loop.

    Evaluation uses the method's default evaluation variant (`method.readout`), or that of the context manager
    `reading`. The method's state is part of the state_dict.

    >>> from twirl.relaxation import RPP, Place, relax
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4))
    >>> relaxed = relax(net, RPP(), [Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4)])
    >>> relaxed.alphas(), relaxed.parameter_counts()
    ({'0': {'W': 1.0, 'b': 1.0}}, {'plain': 16, 'terms': 16, 'method': 0, 'active': 32})
    """

    def __init__(self, module: nn.Module, method: Method, places: Sequence[Place], check: bool = True):
        super().__init__()
        places = list(places)
        check_places(places, module)
        self.backbone = deepcopy(module)
        self.method = method
        self.places = places
        self.shared = Shared()
        self._reading: tuple[str, frozenset[str]] | None = None
        self._dead: tuple[Any, list[frozenset[str]]] = (None, [])
        layers = [self.backbone.get_submodule(place.name) for place in places]
        if check:
            elements = getattr(method, "elements", None)
            elements = SO3().generators() if elements is None else elements
            for place, layer in zip(places, layers, strict=True):
                place.check(layer, elements)
        like = next(self.backbone.parameters(), torch.zeros(()))
        terms = method.attach(places, layers, like)
        for i, (place, layer, f_un) in enumerate(zip(places, layers, terms, strict=True)):
            replace(self.backbone, place.name, RelaxedLayer(place, layer, f_un, i, self.shared))

    def forward(self, *args, **kwargs) -> Any:
        self.shared.record, self.shared.recorded, self.shared.noise = None, frozenset(), None
        training = self.training and self._reading is None
        self.shared.modulations = self.method.training_modulations(self.shared) if training else self.read()
        return self.backbone(*args, **kwargs)

    def observe(self, targets: Tensor, index: Tensor | Mapping[str, Tensor] | None = None) -> None:
        """Passes the targets of this step's batch to the method; see `RECM.observe`."""
        self.method.observe(targets, index)

    def extra_loss(self) -> Tensor:
        """The method's addition to the task's loss in this step."""
        return self.method.extra_loss()

    def after_backward(self) -> None:
        """Call between the backward pass and the optimiser's step."""
        self.method.after_backward()

    def after_step(self) -> None:
        """Call after the optimiser's step."""
        self.method.after_step()

    def set_epoch(self, epoch: int) -> None:
        """Call at the start of every epoch, counted from 0."""
        self.method.set_epoch(epoch)

    def alphas(self) -> dict[str, dict[str, float]]:
        """alpha of every term of every place, as of the last training step: {place: {term: alpha}}."""
        settled = self.method.settled()
        values = iter(_floats([alpha for m in settled for alpha in m.alpha.values()]))
        return {
            place.name: {name: next(values) for name in m.alpha}
            for place, m in zip(self.places, settled, strict=True)
        }

    def betas(self) -> dict[str, float]:
        """beta of every place, as of the last training step."""
        return dict(
            zip((p.name for p in self.places), _floats([m.beta for m in self.method.settled()]), strict=True)
        )

    @contextmanager
    def reading(self, readout: str, without: Collection[str] = ()) -> Iterator["Relaxed"]:
        """Evaluates the network in the variant "projected", "kept" or "pruned", with the places `without` projected.

        Nothing is recorded or updated, not even in training mode.
        """
        if readout not in READOUTS:
            raise ValueError(f"a readout is one of {', '.join(READOUTS)}, not {readout!r}.")
        unknown = set(without) - {place.name for place in self.places}
        if unknown:
            raise ValueError(f"there is no place {sorted(unknown)[0]!r} to read without.")
        before, self._reading = self._reading, (readout, frozenset(without))
        try:
            yield self
        finally:
            self._reading = before

    def read(self, readout: str | None = None) -> list[Modulation]:
        """alpha and beta for evaluation, without gradients, of the terms in the evaluation variant."""
        chosen, without = self._reading or (self.method.readout, frozenset())
        chosen = readout or chosen
        settled = self.method.settled()
        dead = self._dead_terms(settled) if chosen == "pruned" else [frozenset()] * len(settled)
        modulations = []
        for place, m, below in zip(self.places, settled, dead, strict=True):
            keep = chosen != "projected" and place.name not in without
            alpha = {name: a for name, a in m.alpha.items() if keep and name not in below}
            # A term with a scheduled alpha of exactly 0 is left out.
            modulations.append(
                Modulation(m.beta, {name: a for name, a in alpha.items() if isinstance(a, Tensor) or a})
            )
        return modulations

    def _dead_terms(self, settled: list[Modulation]) -> list[frozenset[str]]:
        """Names of the terms below the threshold; read on the host only when the scalars have changed."""
        alphas = [alpha for m in settled for alpha in m.alpha.values()]
        key = [(a.data_ptr(), a._version) if isinstance(a, Tensor) else a for a in alphas]
        if self._dead[0] != key:
            values = iter(_floats(alphas))
            threshold = self.method.prune_below
            dead = [frozenset(name for name in m.alpha if abs(next(values)) < threshold) for m in settled]
            self._dead = key, dead
        return self._dead[1]

    def parameter_groups(self, lr: float, recm_lr_mult: float = 1.0, **options) -> list[dict[str, Any]]:
        """Parameter groups for Adam: RECM's theta and w with lr * recm_lr_mult, and all others (spec recm.md 2).

        options: of the group of all others, such as weight_decay. RECM's group has no weight decay, and eps 1e-12
        because its gradients contain the small factor gamma_t.
        """
        own = self.method.own_parameters()
        apart = {id(p) for p in own}
        groups = [{"params": [p for p in self.parameters() if id(p) not in apart], "lr": lr, **options}]
        if own:
            groups.append({"params": own, "lr": lr * recm_lr_mult, "weight_decay": 0.0, "eps": 1e-12})
        return groups

    def parameter_counts(self, readout: str | None = None) -> dict[str, int]:
        """Numbers of parameters: "plain" (the backbone's own), "terms", "method", and "active", those that
        inference in the evaluation variant needs (paper B's active parameters and Table 4)."""
        terms = [t for t in self.method.all_terms if t is not None]
        in_terms = sum(p.numel() for t in terms for p in t.parameters())
        plain = sum(p.numel() for p in self.backbone.parameters()) - in_terms
        alive = zip(self.method.all_terms, self.read(readout), strict=True)
        active = plain + sum(t.size(name) for t, m in alive for name in m.alpha)
        method = sum(p.numel() for p in self.method.parameters())
        return {"plain": plain, "terms": in_terms, "method": method, "active": active}

    def gather_local_state(self) -> list[dict[str, Any]]:
        """The states that differ between ranks, of all ranks, for rank 0 to save; all ranks must call it."""
        state = self.method.local_state()
        if not (dist.is_available() and dist.is_initialized()):
            return [state]
        states: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(states, state)
        return states

    def load_local_state(self, states: list[dict[str, Any]]) -> None:
        """Restores this rank's part of the result of `gather_local_state`; call it after load_state_dict."""
        rank, size = (
            (dist.get_rank(), dist.get_world_size())
            if dist.is_available() and dist.is_initialized()
            else (0, 1)
        )
        if len(states) != size:
            raise ValueError(
                f"the checkpoint was written by {len(states)} ranks; it cannot resume on {size}."
            )
        self.method.load_local_state(states[rank])

    def get_extra_state(self) -> dict[str, Any]:
        return {"method": self.method.name}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        if state["method"] != self.method.name:
            raise ValueError(
                f"the checkpoint was written by a network relaxed by {state['method']!r}; this one is relaxed by "
                f"{self.method.name!r}."
            )


def replace(module: nn.Module, name: str, new: nn.Module) -> None:
    """Replaces the module at the path `name` by `new`.

    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4))
    >>> replace(net, "0", torch.nn.Identity())
    >>> net[0]
    Identity()
    """
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, new)


def _floats(values: list[Tensor | float]) -> list[float]:
    """The tensors as Python numbers, with one synchronisation for all."""
    tensors = [v.detach() for v in values if isinstance(v, Tensor)]
    found = iter(torch.stack(tensors).tolist() if tensors else [])
    return [next(found) if isinstance(v, Tensor) else float(v) for v in values]
