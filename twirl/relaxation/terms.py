"""The unconstrained terms f_un of a place, and the bounds of their norms (specs recm.md 3, relaxation.md 4)."""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twirl.relaxation.places import Place
from twirl.relaxation.product import Noise, Rule, merged

BOUNDS = ("spectral_cap", "spectral_unit", "frobenius_unit", "output_rescale", "none")


class Terms(nn.Module):
    """W (an unconstrained linear map), b (a constant vector), noise and g (any map) of one place.

    Those named in `names` exist (b only if the place allows a bias); all act on flattened features.
    bound: with B the largest operator norm and sigma_max that of W, by power iteration,
        spectral_cap     W / max(1, sigma_max / B), b likewise: |W z| <= B |z|
        spectral_unit    W B / sigma_max (ACE's EGNO); b is free
        frobenius_unit   W is divided by its Frobenius norm after every step (ACE's vector neurons); b is free
        output_rescale   W z min(1, B |z| / |W z|), b as in spectral_cap
        none
    Noise has at most unit variance per element unless "none". g is never bounded.
    init: of W, b: "default" (U(+-1/sqrt(dim_in)), b zero; times init_scale), "zero", or the standard
    deviation of a normal W. iterations: of the power method per step; its vectors are kept from step to step.

    >>> v = twirl.Vectors()
    >>> terms = Terms(Place("0", v, v, (8, 3), (4, 3)), ("W", "b"))
    >>> terms.names, bool(torch.linalg.matrix_norm(10 * terms.weight(), 2) <= 10.1)
    (('W', 'b'), True)
    """

    def __init__(
        self,
        place: Place,
        names: tuple[str, ...],
        *,
        bound: str = "spectral_cap",
        B: float = 1.0,
        init: str | float = "default",
        init_scale: float = 1.0,
        iterations: int = 1,
        g: nn.Module | None = None,
        like: Tensor | None = None,
    ):
        super().__init__()
        if bound not in BOUNDS:
            raise ValueError(f"norm_bound must be one of {', '.join(BOUNDS)}, not {bound!r}.")
        if bound.endswith("unit") and init == "zero":
            raise ValueError(f"norm_bound {bound!r} cannot start from zero weights; use 'spectral_cap'.")
        self.place, self.bound, self.B, self.iterations = place, bound, B, iterations
        options = {} if like is None else {"dtype": like.dtype, "device": like.device}
        self.W = self.b = self.log_sigma = self.g = None
        if "W" in names:
            self.W = nn.Parameter(torch.empty(place.dim_out, place.dim_in, **options))
            if init == "default":
                nn.init.uniform_(self.W, -(place.dim_in**-0.5), place.dim_in**-0.5)
                self.W.data *= init_scale
            elif init == "zero":
                nn.init.zeros_(self.W)
            else:
                nn.init.normal_(self.W, std=float(init))
            if bound.startswith("spectral"):
                self.register_buffer("u", F.normalize(torch.ones(place.dim_out, **options), dim=0))
                self.register_buffer("v", F.normalize(torch.ones(place.dim_in, **options), dim=0))
                for _ in range(50):
                    _iterate([self])
            elif bound == "frobenius_unit":
                self.after_step()
        if "b" in names and place.bias:
            self.b = nn.Parameter(torch.zeros(place.dim_out, **options))
        if "noise" in names:
            self.log_sigma = nn.Parameter(torch.zeros((), **options))
        if "g" in names:
            self.g = g if like is None else g.to(like)

    @property
    def names(self) -> tuple[str, ...]:
        """The terms among W, b, noise and g that this place has."""
        parameters = {"W": self.W, "b": self.b, "noise": self.log_sigma, "g": self.g}
        return tuple(name for name, value in parameters.items() if value is not None)

    def size(self, name: str) -> int:
        """The number of parameters of a term that remain at inference (noise leaves none)."""
        if name == "noise":
            return 0
        return sum(p.numel() for p in self.g.parameters()) if name == "g" else getattr(self, name).numel()

    def weight(self) -> Tensor:
        """W under its bound: (dim_out, dim_in)."""
        if not self.bound.startswith("spectral"):
            return self.W
        # Clones: the vectors change in place after the step, and DDP may write buffers during the forward pass.
        sigma = self.u.clone() @ (self.W @ self.v.clone())
        return self.W / ((sigma / self.B).clamp_min(1) if self.bound == "spectral_cap" else sigma / self.B)

    def bias(self) -> Tensor:
        """b under its bound: (dim_out,)."""
        if self.bound not in ("spectral_cap", "output_rescale"):
            return self.b
        # The gradient of this norm at 0 is 0; that of the sqrt of a sum would be nan.
        return self.b / (torch.linalg.vector_norm(self.b) / self.B).clamp_min(1)

    def with_noise(self, y: Tensor, alpha: Tensor | float, generator: torch.Generator) -> Tensor:
        """y + alpha sigma eps, eps ~ N(0, I)."""
        return Noise.apply(y, alpha * self.log_sigma.exp(), generator)

    def merged(
        self,
        z: Tensor | tuple[Tensor, ...],
        E: Tensor,
        beta: Tensor | float,
        alpha: Mapping[str, Tensor | float],
        generator: torch.Generator | None,
    ) -> Tensor:
        """(beta E + alpha_W W) z + alpha_b b + noise in the layout of f_eq(z), in one product; see `merged`."""
        spectral = self.bound.startswith("spectral")
        capped = self.bound in ("spectral_cap", "output_rescale")
        rule = Rule(self.place, self.B, self.bound == "spectral_unit", self.B if capped else None, generator)
        return merged(
            rule,
            z,
            E,
            self.W,
            alpha["W"],
            beta,
            uv=(self.u, self.v) if spectral else None,
            bias=(self.b, alpha["b"]) if "b" in alpha else None,
            noise=(self.log_sigma, alpha["noise"]) if generator is not None else None,
        )

    def linear(self, alpha: Mapping[str, Tensor | float]) -> tuple[Tensor, Tensor | None]:
        """alpha_W W and alpha_b b (None if `alpha` has no b), for callers that apply W in their own product."""
        # alpha multiplies the matrix, not the product, so that autograd keeps no tensor of the product's size for it.
        return alpha["W"] * self.weight(), alpha["b"] * self.bias() if "b" in alpha else None

    def forward(self, z: Tensor, alpha: Mapping[str, Tensor | float] | None = None) -> Tensor:
        """sum_i alpha_i f_un,i(z) over all terms except noise: z (..., dim_in) -> (..., dim_out).

        alpha: the terms to add; None: all of them, each with alpha = 1. With b only: (dim_out,).
        """
        alpha = dict.fromkeys(self.names, 1.0) if alpha is None else alpha
        bias = alpha["b"] * self.bias() if "b" in alpha else None
        y = None
        if "W" in alpha and self.bound == "output_rescale":
            y = F.linear(z, self.W)
            size = self.B * z.norm(dim=-1, keepdim=True) / y.norm(dim=-1, keepdim=True).clamp_min(1e-30)
            y = alpha["W"] * size.clamp_max(1) * y
            y = y if bias is None else y + bias
        elif "W" in alpha:
            y = F.linear(z, *self.linear(alpha))
        elif bias is not None:
            y = bias
        if "g" in alpha:
            g = alpha["g"] * self.g(z)
            y = g if y is None else y + g
        return y

    @torch.no_grad()
    def settled(self, names: tuple[str, ...]) -> "Terms":
        """A copy with the named terms only, whose W and b are the bounded ones."""
        bound = "output_rescale" if self.bound == "output_rescale" else "none"
        like = next(self.parameters())
        copy = Terms(self.place, names, bound=bound, B=self.B, init="zero", g=deepcopy(self.g), like=like)
        if copy.W is not None:
            copy.W.copy_(self.weight())
        if copy.b is not None:
            copy.b.copy_(self.bias())
        return copy

    def after_step(self) -> None:
        """Updates what the bounds need after the optimiser has changed the parameters."""
        after_steps([self])


@torch.no_grad()
def after_steps(all_terms: Sequence[Terms]) -> None:
    """`after_step` of many places, with few operations.

    >>> terms = Terms(Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4), ("noise",))
    >>> terms.log_sigma.data += 1
    >>> after_steps([terms])  # the noise has at most unit variance
    >>> terms.log_sigma.item()
    0.0
    """
    spectral = [t for t in all_terms if t.W is not None and t.bound.startswith("spectral")]
    for i in range(max((t.iterations for t in spectral), default=0)):
        _iterate([t for t in spectral if i < t.iterations])
    for t in all_terms:
        if t.W is not None and t.bound == "frobenius_unit":
            t.W.mul_(t.B / torch.linalg.matrix_norm(t.W))
    sigmas = [t.log_sigma for t in all_terms if t.log_sigma is not None and t.bound != "none"]
    if sigmas:
        torch._foreach_clamp_max_(sigmas, 0.0)


@torch.no_grad()
def _iterate(all_terms: Sequence[Terms]) -> None:
    """One step of the power method on every W."""
    for left in (True, False):
        targets = [t.u if left else t.v for t in all_terms]
        moved = [
            # beta: keeps the vector if W is zero.
            torch.addmv(t.u, t.W, t.v, beta=1e-12) if left else torch.addmv(t.v, t.W.mT, t.u, beta=1e-12)
            for t in all_terms
        ]
        torch._foreach_div_(moved, torch._foreach_norm(moved))
        torch._foreach_copy_(targets, moved)
