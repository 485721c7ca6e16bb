"""RECM: recurrent equivariant constraint modulation (paper B; spec recm.md)."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from twirl.groups import Group
from twirl.relaxation.layer import Modulation, Shared
from twirl.relaxation.method import PRUNE_BELOW, Method
from twirl.relaxation.places import Place
from twirl.relaxation.targets import Targets, rows_of_targets
from twirl.relaxation.terms import Terms, after_steps
from twirl.relaxation.update import UpdateRule, constraint_set, modulation, next_state

TERMS = ("W", "b", "noise")


class RECM(Method):
    """A recurrent state h_t of every place sets its alpha and beta; the symmetry of the data drives the state.

    a, b: gamma_t = a / (b + a t); to forget h_0 after T steps, a T should be about 100.
    targets: the type of targets that the update rule sees with a layer's input (Targets, Labels); None: input only.
    terms: some of W, b, noise. group, size: of C_G, see `constraint_set`.
    m, hidden: widths of h and r_theta. h0_scale: |h_0|. max_samples: rows of the input that each step uses.
    pool: mean of a layer's input over all row axes but the first before rows are drawn.
    norm_bound, init: of the terms, see `Terms`. r_bound: bound on the spectral norm of r_theta's layers (None: none).
    learn_beta: beta = 1 + GELU(w_beta^T h), else 1. undo_gamma: leaves gamma_t out of the gradient of theta.
    skip_after: a place whose every |alpha| was below prune_below for this many steps is projected for the rest of
    training, and then costs nothing (under DDP this needs find_unused_parameters). None: never.
    seed: of the noise and the drawn rows, which are functions of (seed, rank, step, place).

    >>> from twirl.relaxation import RECM, Place, relax
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4))
    >>> relaxed = relax(net, RECM(a=0.1), [Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4)])
    >>> y = relaxed(torch.randn(5, 3)); relaxed.after_step()
    >>> all(abs(alpha) <= 1 for alpha in relaxed.alphas()["0"].values())  # |alpha| <= |h_0| = 1
    True
    """

    name = "recm"
    readout = "pruned"

    def __init__(
        self,
        a: float,
        targets: Targets | None = None,
        *,
        b: float = 1.0,
        terms: tuple[str, ...] = ("W", "b"),
        group: Group | None = None,
        size: int = 2,
        m: int = 16,
        hidden: int = 16,
        h0_scale: float = 1.0,
        max_samples: int = 256,
        pool: bool = False,
        norm_bound: str = "spectral_cap",
        init: str | float = "default",
        r_bound: float | None = None,
        learn_beta: bool = True,
        undo_gamma: bool = False,
        skip_after: int | None = None,
        prune_below: float = PRUNE_BELOW,
        seed: int = 0,
    ):
        super().__init__(prune_below)
        if a <= 0 or b <= 0:
            raise ValueError(f"RECM needs a > 0 and b > 0, not a = {a}, b = {b}.")
        if not terms or set(terms) - set(TERMS):
            raise ValueError(f"RECM's terms are some of {', '.join(TERMS)}, not {terms!r}.")
        self.a, self.b, self.targets = a, b, targets
        self.term_names = tuple(name for name in TERMS if name in terms)
        self.elements = constraint_set(group, size)
        self.m, self.hidden, self.h0_scale = m, hidden, h0_scale
        self.max_samples, self.pool = max_samples, pool
        self.norm_bound, self.init, self.r_bound = norm_bound, init, r_bound
        self.learn_beta, self.undo_gamma, self.skip_after, self.seed = (
            learn_beta,
            undo_gamma,
            skip_after,
            seed,
        )
        self.t = 0  # updates of h so far
        self.steps = 0  # optimiser steps so far
        self._stored: list[Tensor] | None = None  # for every source, rows of [z_{t-1}, y_{t-1}]
        self._step = _Step()
        self._generators: dict[torch.device, torch.Generator] = {}

    def attach(self, places: list[Place], layers: list[nn.Module], like: Tensor) -> list[Terms | None]:
        terms = super().attach(places, layers, like)
        state = like.new_zeros((), dtype=torch.promote_types(like.dtype, torch.float32))
        # Sources: the stored inputs, each shared by all places that read it; `order` lists places by their source.
        source = {place.name: [i] for i, place in enumerate(places) if place.reads is None}
        for i, place in enumerate(places):
            if place.reads is not None:
                source[place.reads].append(i)
        self.sources = list(source.values())
        order = [i for readers in self.sources for i in readers]
        positions = torch.tensor(order, device=like.device).argsort()
        # indices of the places in the rule's order
        self.register_buffer("positions", positions, persistent=False)
        rho_y = [] if self.targets is None else [self.targets.rho(self.elements)]
        parts = [
            ([places[readers[0]].rho_in(self.elements), *rho_y], len(readers)) for readers in self.sources
        ]
        self.rule = UpdateRule(parts, self.m, self.hidden, self.r_bound, state)
        P, K = len(places), len(self.term_names)
        w = F.normalize(torch.randn(P, K + 1, self.m, dtype=state.dtype), dim=-1)
        self.w = nn.Parameter(w.to(state.device))
        self.register_buffer("h", state.new_full((P, self.m), self.h0_scale / self.m**0.5))
        self.register_buffer("scalars", self._scalars(self.h).detach())
        self.register_buffer("quiet", torch.zeros(P, dtype=torch.long, device=like.device))
        self._skipped, self._folded = [False] * P, [False] * P
        return terms

    def make_terms(self, place: Place, like: Tensor) -> Terms:
        return Terms(place, self.term_names, bound=self.norm_bound, init=self.init, like=like)

    def training_modulations(self, shared: Shared) -> list[Modulation]:
        """alpha_t and beta_t with gradients; h_t is stored until `after_step`."""
        if all(self._skipped):
            self._step.values = self._step.values or (self.h, self.scalars)
            return self.settled()
        self._step.forwards += 1
        shared.noise = self._noise
        if self._step.forwards == 1:
            live = (readers[0] for readers in self.sources if not all(self._skipped[i] for i in readers))
            shared.record, shared.recorded = self._record, frozenset(live)
        device_type = self.h.device.type
        with torch.autocast(device_type, enabled=False):
            h = self._next_state()
            scalars = self._scalars(h)
        self._step.values = h.detach(), scalars.detach()
        return self._modulations(scalars)

    def settled(self) -> list[Modulation]:
        return self._modulations(self.scalars)

    def _modulations(self, scalars: Tensor) -> list[Modulation]:
        K = scalars.shape[1]
        values = scalars.flatten().unbind()  # all at once: one node of the autograd graph, not one per place
        rows = [values[i : i + K] for i in range(0, len(values), K)]
        modulations = []
        states = zip(self.all_terms, rows, self._skipped, self._folded, strict=True)
        for terms, (*alphas, beta), skipped, folded in states:
            alpha = dict(zip(self.term_names, alphas, strict=True))
            alpha = {} if skipped else {name: alpha[name] for name in terms.names}
            beta = 1.0 if folded or not self.learn_beta else beta
            modulations.append(
                Modulation(beta.detach() if skipped and isinstance(beta, Tensor) else beta, alpha)
            )
        return modulations

    def _scalars(self, h: Tensor) -> Tensor:
        """(places, K + 1): alpha of the terms, then beta (paper B eq. 2)."""
        values = modulation(self.w, h)
        return torch.cat([values[:, :-1], 1 + values[:, -1:]], dim=1)

    def _next_state(self) -> Tensor:
        """h_t of this step; h_0 in the first step, which has no previous batch."""
        h = self.h.clone()
        x = self._stored if self._stored is not None else self._nothing()
        if x[0].device != h.device:
            self._stored = x = [rows.to(h.device) for rows in x]
        l = average_over_ranks(self.rule(x)[self.positions])  # noqa: E741
        if self._stored is None:
            return h + 0 * l  # DDP needs theta in the graph
        if self.undo_gamma:
            gamma = self.a / (self.b + self.a * (self.t + 1))
            l = l.detach() + (l - l.detach()) / gamma  # noqa: E741
        return next_state(h, l, self.t + 1, self.a, self.b)

    def _nothing(self) -> list[Tensor]:
        """Placeholders for inputs that do not exist: rows of zeros, which no rotation changes."""
        return [self.w.new_zeros(1, dim) for dim in self.rule.dims]

    def observe(self, targets: Tensor, index: Tensor | Mapping[str, Tensor] | None = None) -> None:
        """Receives the targets of this step's batch; leading axes as in the layers' inputs (see `rows_of_targets`).

        index: for ragged batches, which target belongs to each entry of the layers' first axis; a mapping from
        place names where that differs between them (nodes and edges). Only the first call in a step counts.
        """
        if self._step.targets is None and self.targets is not None:
            self.targets.leading(targets)
            self._step.targets = targets.detach(), index

    def after_step(self) -> None:
        """Stores h_t, alpha_t and beta_t as the state, and this step's inputs and targets for the next step."""
        step, self._step = self._step, _Step()
        if step.values is None:
            raise ValueError("RECM: after_step() needs a forward pass in training mode before it.")
        to_store = self._to_store(step)
        after_steps(
            [terms for terms, skipped in zip(self.all_terms, self._skipped, strict=True) if not skipped]
        )
        self.steps += 1
        self.h.copy_(step.values[0])
        self.scalars.copy_(step.values[1])
        if self._stored is not None and not all(self._skipped):
            self.t += 1
        self._stored = to_store
        if self.skip_after is not None:
            self._skip()

    def _to_store(self, step: "_Step") -> list[Tensor] | None:
        """For every source, the rows of [z, y] that the next step uses."""
        if not step.rows:
            return None
        if self.targets is not None and step.targets is None:
            raise ValueError(
                "RECM: the targets of this step were not observed; call observe(targets) once in every step."
            )
        stored = self._nothing()
        for s, (z, rows, shape) in step.rows.items():
            stored[s] = z.to(self.w)
            if self.targets is not None:
                y = self._targets_of(self.places[self.sources[s][0]], rows, shape, *step.targets)
                stored[s] = torch.cat([stored[s], y.to(self.w)], dim=-1)
        return stored

    def _targets_of(self, place: Place, rows: Tensor, shape, targets: Tensor, index) -> Tensor:
        index = index.get(place.name) if isinstance(index, Mapping) else index
        try:
            return self.targets.rows(
                targets, rows_of_targets(rows, shape, self.targets.leading(targets), index)
            )
        except ValueError as error:
            raise ValueError(
                f"place {place.name!r}, whose input lists rows as {tuple(shape)}: {error}"
            ) from error

    def _record(self, i: int, z: Tensor) -> None:
        """Keeps rows of z for a place with its own input, in the first forward pass of a step."""
        s = next(s for s, readers in enumerate(self.sources) if readers[0] == i)
        if s in self._step.rows:
            return
        with torch.no_grad():
            place = self.places[i]
            z = tuple(part.detach() for part in z) if isinstance(z, tuple) else z.detach()
            shape, pooled = place.row_shape(z), None
            if self.pool and len(shape) > 1:
                pooled = place.rows(place.joined(z)).flatten(1, -len(place.features_in) - 1).mean(1)
                shape = shape[:1]
            device = (z[0] if isinstance(z, tuple) else z).device
            rows = torch.arange(shape.numel(), device=device)
            if len(rows) > self.max_samples:
                generator = self._seeded(device, "rows", s)
                rows = torch.randint(len(rows), (self.max_samples,), generator=generator, device=device)
            found = place.some_rows(z, rows) if pooled is None else pooled[rows].flatten(1)
            self._step.rows[s] = found, rows, shape

    def _noise(self, i: int, device: torch.device) -> torch.Generator:
        return self._seeded(device, "noise", i, self._step.forwards)

    def _seeded(self, device: torch.device, *what: Any) -> torch.Generator:
        """A generator for one use; a recomputed forward pass draws the same numbers."""
        if device not in self._generators:
            self._generators[device] = torch.Generator(device)
        rank = dist.get_rank() if _distributed() else 0
        digest = hashlib.blake2b(repr((self.seed, rank, self.steps, *what)).encode(), digest_size=8).digest()
        return self._generators[device].manual_seed(int.from_bytes(digest, "little") >> 1)

    @torch.no_grad()
    def _skip(self) -> None:
        there = torch.tensor([[name in terms.names for name in self.term_names] for terms in self.all_terms])
        alphas = self.scalars[:, :-1].abs() * there.to(self.scalars)
        self.quiet.copy_((self.quiet + 1) * (alphas < self.prune_below).all(1))
        # Reading alphas on the host needs a synchronisation, so it is not done in every step.
        if self.steps % max(1, self.skip_after // 4) == 0:
            quiet = (self.quiet >= self.skip_after).tolist()
            for i in range(len(quiet)):
                if quiet[i] and not self._skipped[i]:
                    self._skipped[i] = True
                    self._fold(i)
            if all(self._skipped):
                self._stored = None

    def _fold(self, i: int) -> None:
        """Multiplies a skipped place's beta into its layer if that is one matrix; the place is then a plain layer."""
        parameters = list(self.layers[i].parameters())
        if hasattr(self.layers[i], "matrix") and len(parameters) == 1:
            if self.learn_beta:
                parameters[0].mul_(self.scalars[i, -1])
            self._folded[i] = True

    def own_parameters(self) -> list[nn.Parameter]:
        return [*self.rule.parameters(), self.w]

    def lipschitz(self) -> dict[str, float]:
        """B of every place's r_theta (theorem 4.2), an upper bound; logged because it may grow without limit."""
        return self._by_place(self.rule.lipschitz()[self.positions])

    def diagnostics(self) -> dict[str, dict[str, float]]:
        return {"h_norm": self._by_place(self.h.norm(dim=-1)), "lipschitz": self.lipschitz()}

    def _by_place(self, values: Tensor) -> dict[str, float]:
        return dict(zip((place.name for place in self.places), values.tolist(), strict=True))

    def get_extra_state(self) -> dict[str, Any]:
        return {
            "t": self.t,
            "steps": self.steps,
            "skipped": list(self._skipped),
            "folded": list(self._folded),
            **self.local_state(),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.t, self.steps = state["t"], state["steps"]
        self._skipped, self._folded = list(state["skipped"]), list(state["folded"])
        self.load_local_state(state)
        self._step = _Step()

    def local_state(self) -> dict[str, Any]:
        """The stored inputs and targets of this rank; a checkpoint of rank 0 has only its own."""
        return {"stored": self._stored}

    def load_local_state(self, state: dict[str, Any]) -> None:
        self._stored = state["stored"]


class _Step:
    """The values that one optimiser step has collected so far."""

    def __init__(self):
        self.forwards = 0
        self.rows: dict[int, tuple[Tensor, Tensor, tuple[int, ...]]] = {}
        self.targets: tuple[Tensor, Any] | None = None
        self.values: tuple[Tensor, Tensor] | None = None


class _AverageOverRanks(torch.autograd.Function):
    """The mean over ranks, with the gradient that is exact after DDP has averaged gradients over ranks."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return _mean_over_ranks(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _mean_over_ranks(gradient)


def average_over_ranks(x: Tensor) -> Tensor:
    """The differentiable mean of x over the ranks of a distributed run; otherwise x itself.

    >>> average_over_ranks(torch.ones(2))
    tensor([1., 1.])
    """
    return _AverageOverRanks.apply(x) if _distributed() else x


def _mean_over_ranks(x: Tensor) -> Tensor:
    x = x.contiguous().clone()
    dist.all_reduce(x)
    return x / dist.get_world_size()


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
