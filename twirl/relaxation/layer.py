"""`RelaxedLayer`, which replaces a declared layer of the backbone, and `FixedLayer`, its form after pruning."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from twirl.relaxation.places import Place
from twirl.relaxation.terms import Terms


@dataclass
class Modulation:
    """The scalars of one place in one forward pass: beta, and alpha of the terms that contribute.

    >>> Modulation(beta=1.0, alpha={"W": 0.5})
    Modulation(beta=1.0, alpha={'W': 0.5})
    """

    beta: Tensor | float = 1.0
    alpha: dict[str, Tensor | float] = field(default_factory=dict)


class Shared:
    """The values that a relaxed network passes to its layers in a forward pass; copies and files of it are empty.

    modulations: one per place. noise: (place index, device) -> its seeded generator. record: called with
    (index, z) by the places in `recorded`.

    >>> shared = Shared()
    >>> shared.modulations = [Modulation(beta=2.0)]
    >>> shared.modulations[0].beta
    2.0
    """

    def __init__(self):
        self.modulations: list[Modulation] | None = None
        self.noise = None
        self.record = None
        self.recorded: frozenset[int] = frozenset()

    def __deepcopy__(self, memo) -> "Shared":
        return Shared()

    def __reduce__(self):
        return Shared, ()


class RelaxedLayer(nn.Module):
    """f(z) = beta f_eq(z) + sum_i alpha_i f_un,i(z) (spec recm.md 1), with the scalars of `shared`.

    >>> place, layer = Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4), torch.nn.Linear(3, 4)
    >>> shared, z = Shared(), torch.randn(5, 3)
    >>> shared.modulations = [Modulation(beta=2.0)]
    >>> torch.equal(RelaxedLayer(place, layer, None, 0, shared)(z), 2 * layer(z))
    True
    """

    def __init__(self, place: Place, layer: nn.Module, terms: Terms | None, index: int, shared: Shared):
        super().__init__()
        self.equivariant = layer
        self.terms = terms
        self.place, self.index, self.shared = place, index, shared
        self.takes_parts = getattr(layer, "takes_parts", False)

    @property
    def acts_as(self) -> nn.Module | None:
        """f_eq, if this layer currently gives the same output and its input need not be recorded; else None."""
        if self.shared.modulations is None or self.index in self.shared.recorded:
            return None
        m = self.shared.modulations[self.index]
        return self.equivariant if _is_plain(m) else None

    def forward(self, z: Tensor | tuple[Tensor, ...], *args, **kwargs) -> Tensor:
        if self.shared.modulations is None:
            raise RuntimeError(
                "call the relaxed network itself, not its backbone: it sets alpha and beta first."
            )
        self.place.row_shape(z)  # raises for z with other features
        if self.index in self.shared.recorded:
            self.shared.record(self.index, z)
        device = (z[0] if isinstance(z, tuple) else z).device
        noise = None if self.shared.noise is None else lambda: self.shared.noise(self.index, device)
        m = self.shared.modulations[self.index]
        return combine(self.place, self.equivariant, self.terms, m, noise, z, args, kwargs)


def combine(
    place: Place, layer: nn.Module, terms: Terms | None, m: Modulation, noise, z, args=(), kwargs=None
) -> Tensor:
    """beta f_eq(z) + sum_i alpha_i f_un,i(z); exactly f_eq(z) for beta = 1.0 and no alpha.

    >>> place, layer = Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4), torch.nn.Linear(3, 4)
    >>> z = torch.randn(5, 3)
    >>> torch.equal(combine(place, layer, None, Modulation(beta=2.0), None, z), 2 * layer(z))
    True
    """
    kwargs = kwargs or {}
    steady = {name: alpha for name, alpha in m.alpha.items() if name != "noise"}
    noisy = "noise" in m.alpha and noise is not None
    one_matrix = "W" in steady and "g" not in steady and terms.bound != "output_rescale"
    plain = z[0] if isinstance(z, tuple) else z
    if one_matrix and not args and not kwargs and hasattr(layer, "matrix"):
        if not torch.is_autocast_enabled(plain.device.type) and plain.dtype == terms.W.dtype:
            E = layer.channel_matrix() if hasattr(layer, "channel_matrix") else layer.matrix()
            return terms.merged(z, E, m.beta, m.alpha, noise() if noisy else None)
        weight, bias = terms.linear(steady)
        y = place.linear(place.joined(z), weight + m.beta * layer.matrix(), bias)
    else:
        y = layer(z, *args, **kwargs)
        y = y if isinstance(m.beta, float) and m.beta == 1.0 else m.beta * y
        if set(steady) == {"b"}:
            y = y + place.spread(terms(z, steady), y.ndim)
        elif one_matrix:
            y = y + place.linear(place.joined(z), *terms.linear(steady))
        elif steady:
            y = y + place.unflatten(terms(place.flatten(place.joined(z)), steady))
    return y if not noisy else terms.with_noise(y, m.alpha["noise"], noise())


def _is_plain(m: Modulation) -> bool:
    return not m.alpha and isinstance(m.beta, float) and m.beta == 1.0


class FixedLayer(nn.Module):
    """A relaxed layer with fixed alpha and beta: f_eq and the terms that contribute, with their bounds applied.

    Parameters: those of f_eq, and W, b, g of the remaining terms; alpha and beta are buffers.

    >>> place, layer = Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4), torch.nn.Linear(3, 4)
    >>> fixed = FixedLayer(place, layer, Terms(place, ("W", "b")), Modulation(1.0, {"W": 0.5}))
    >>> sum(p.numel() for p in fixed.parameters())  # of the layer, 16, and of W, 12
    28
    """

    def __init__(self, place: Place, layer: nn.Module, terms: Terms | None, m: Modulation):
        super().__init__()
        self.place = place
        self.equivariant = layer
        self.takes_parts = getattr(layer, "takes_parts", False)
        self.names = tuple(name for name in m.alpha if name != "noise")
        self.terms = terms.settled(self.names) if self.names else None
        like = next(layer.parameters(), torch.zeros(()))
        for name in ("beta", *self.names):
            value = m.beta if name == "beta" else m.alpha[name]
            if not isinstance(value, Tensor):  # a Python number, since the layer may need double precision
                value = like.new_tensor(value, dtype=torch.promote_types(like.dtype, torch.float32))
            self.register_buffer(f"scale_{name}", value.detach().clone())

    def forward(self, z: Tensor | tuple[Tensor, ...], *args, **kwargs) -> Tensor:
        alpha = {name: getattr(self, f"scale_{name}") for name in self.names}
        return combine(
            self.place,
            self.equivariant,
            self.terms,
            Modulation(self.scale_beta, alpha),
            None,
            z,
            args,
            kwargs,
        )
