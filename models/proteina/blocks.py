"""The parts of the network, in order of execution (spec proteina.md 4.3).

B chains, r registers, n residues, T = r + n tokens, d token channels, p pair channels, c channels of the condition.

The condition of a chain is the same for all of its residues, and that of registers is zero. Functions of the condition
are therefore computed once per chain and once for the registers, not per token or pair. Masks exclude padding from
attention, from sums over a third residue and from the network's output; elsewhere padded entries hold numbers that
nothing reads.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def per_token(rows: Tensor, registers: int, residues: int) -> Tensor:
    """(B + 1, w), whose last row is for registers, -> (B, T, w)."""
    B, w = len(rows) - 1, rows.shape[1]
    of_registers = rows[-1].expand(B, registers, w)
    return torch.cat([of_registers, rows[:-1, None].expand(B, residues, w)], dim=1)


class AdaptiveNorm(nn.Module):
    """LN(x) sigmoid(W_g LN(cond) + b_g) + W_b LN(cond); LN(x) has no parameters of its own."""

    def __init__(self, width: int, cond: int):
        super().__init__()
        self.cond_norm = nn.LayerNorm(cond)
        self.scale = nn.Linear(cond, width)
        self.shift = nn.Linear(cond, width, bias=False)

    def modulation(self, cond: Tensor) -> tuple[Tensor, Tensor]:
        """(rows, c) -> scale and shift, each (rows, width)."""
        cond = self.cond_norm(cond)
        return self.scale(cond).sigmoid(), self.shift(cond)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), scale)


class Transition(nn.Module):
    """SwiGLU with a hidden width of `expansion` times the input's."""

    def __init__(self, width: int, expansion: int):
        super().__init__()
        self.up = nn.Linear(width, 2 * expansion * width, bias=False)
        self.down = nn.Linear(expansion * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * value)


class PairBias(nn.Module):
    """One head's bias of an attention logit from a pair's features: a linear map of LN(z)."""

    def __init__(self, pair: int, heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(pair)
        self.linear = nn.Linear(pair, heads, bias=False)


def attention_biases(biases: list[PairBias], z: Tensor, mask: Tensor) -> list[Tensor]:
    """The logit bias of several layers that see the same pairs: each (B, heads, T, T), -inf at padded keys.

    z: (B, m, m, p); with m < T the first T - m tokens are registers whose pair features are zero. mask: (B, T).
    All layers normalise z in the same way up to an affine map, which here is folded into the linear one.
    """
    normed = F.layer_norm(z, z.shape[-1:]).flatten(1, 2)
    W = torch.cat([bias.linear.weight * bias.norm.weight for bias in biases])
    constant = torch.cat([bias.linear.weight @ bias.norm.bias for bias in biases])
    m, T = z.shape[1], mask.shape[1]
    full = torch.matmul(W, normed.mT).unflatten(-1, (m, m))
    full = F.pad(full, (T - m, 0, T - m, 0))
    excluded = torch.zeros_like(mask, dtype=full.dtype).masked_fill_(~mask, -torch.inf)
    full = full + (constant[:, None, None] + excluded[:, None, None]).to(full.dtype)
    return list(full.chunk(len(biases), dim=1))


class PairBiasAttention(nn.Module):
    """Gated self-attention with a bias of the logits (B, heads, T, T); queries and keys are normalised."""

    def __init__(self, width: int, heads: int, normalise: bool):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.query_norm = nn.LayerNorm(width) if normalise else nn.Identity()
        self.key_norm = nn.LayerNorm(width) if normalise else nn.Identity()
        self.gate = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.norm(x)
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query_norm(query), self.key_norm(key), value)
        )
        attended = F.scaled_dot_product_attention(query, key, value, bias.to(value.dtype))
        return self.out(self.gate(x).sigmoid() * attended.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Attention and transition: each reads an adaptive norm of x, and sigmoid(W cond + b) gates what it adds to x."""

    def __init__(self, width: int, heads: int, pair: int, cond: int, normalise: bool):
        super().__init__()
        self.attention_adaptive = AdaptiveNorm(width, cond)
        self.attention = PairBiasAttention(width, heads, normalise)
        self.pair_bias = PairBias(pair, heads)
        self.attention_gate = nn.Linear(cond, width)
        self.transition_adaptive = AdaptiveNorm(width, cond)
        self.transition = Transition(width, 4)
        self.transition_gate = nn.Linear(cond, width)
        for gate in (self.attention_gate, self.transition_gate):
            nn.init.zeros_(gate.weight)
            nn.init.constant_(gate.bias, -2.0)

    def modulations(self, cond: Tensor, registers: int, residues: int) -> list[Tensor]:
        """Scale, shift and gate of attention and of transition, six of (B, T, d), from cond (B + 1, c)."""
        rows = [
            *self.attention_adaptive.modulation(cond),
            self.attention_gate(cond).sigmoid(),
            *self.transition_adaptive.modulation(cond),
            self.transition_gate(cond).sigmoid(),
        ]
        return [per_token(part, registers, residues) for part in rows]

    def attended(self, x: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, gate: Tensor) -> Tensor:
        """The increment of x by attention."""
        return gate * self.attention(self.attention_adaptive(x, scale, shift), bias)

    def forward(self, x: Tensor, bias: Tensor, cond: Tensor, registers: int) -> Tensor:
        modulations = self.modulations(cond, registers, x.shape[1] - registers)
        x = x + self.attended(x, bias, *modulations[:3])
        scale, shift, gate = modulations[3:]
        return x + gate * self.transition(self.transition_adaptive(x, scale, shift))


class TriangleMultiplication(nn.Module):
    """Updates pairs (i, j) by sums over a third token k: of a_ik b_jk (outgoing) or of a_ki b_kj (incoming).

    Input and output are gated; h hidden channels. Initially zero.
    """

    def __init__(self, pair: int, hidden: int, outgoing: bool):
        super().__init__()
        self.outgoing = outgoing
        self.norm_in = nn.LayerNorm(pair)
        self.a, self.a_gate = nn.Linear(pair, hidden), nn.Linear(pair, hidden)
        self.b, self.b_gate = nn.Linear(pair, hidden), nn.Linear(pair, hidden)
        self.norm_out = nn.LayerNorm(hidden)
        self.out, self.out_gate = nn.Linear(hidden, pair), nn.Linear(pair, pair)
        for linear in (self.a, self.b):
            _truncated_normal(linear, 1.0)
        for gate in (self.a_gate, self.b_gate, self.out_gate):
            nn.init.zeros_(gate.weight)
            nn.init.ones_(gate.bias)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, z: Tensor, mask: Tensor) -> Tensor:
        """z: (B, T, T, p), mask: (B, T, T) of valid pairs -> the increment (B, T, T, p)."""
        y = self.norm_in(z)
        a, a_gate, b, b_gate = self._channels_first(y, self.a, self.a_gate, self.b, self.b_gate)
        a = a * a_gate.sigmoid() * mask[:, None]
        b = b * b_gate.sigmoid()
        gathered = a @ b.mT if self.outgoing else a.mT @ b
        gathered = self.norm_out(gathered.permute(0, 2, 3, 1))
        return self.out(gathered) * self.out_gate(y).sigmoid()

    @staticmethod
    def _channels_first(y: Tensor, *layers: nn.Linear) -> tuple[Tensor, ...]:
        """Each layer's output as (B, h, T, T), in which sums over a third token are matrix products."""
        T = y.shape[1]
        W = torch.cat([layer.weight for layer in layers])
        bias = torch.cat([layer.bias for layer in layers])
        together = torch.matmul(W, y.flatten(1, 2).mT)
        together = together + bias.to(together.dtype)[:, None]
        return together.unflatten(-1, (T, T)).chunk(len(layers), dim=1)


class PairTransition(nn.Module):
    """LN, p -> 2p, ReLU, 2p -> p. Initially zero."""

    def __init__(self, pair: int):
        super().__init__()
        self.norm = nn.LayerNorm(pair)
        self.up, self.down = nn.Linear(pair, 2 * pair), nn.Linear(2 * pair, pair)
        _truncated_normal(self.up, 2.0)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, z: Tensor) -> Tensor:
        return self.down(F.relu(self.up(self.norm(z))))


class PairUpdate(nn.Module):
    """Updates pairs from tokens, z_ij += u_j + w_i, then from pairs by triangle multiplication and a transition."""

    def __init__(self, width: int, pair: int, hidden: int, triangles: bool):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.outer_sum = nn.Linear(width, 2 * pair, bias=False)
        self.outgoing = TriangleMultiplication(pair, hidden, outgoing=True) if triangles else None
        self.incoming = TriangleMultiplication(pair, hidden, outgoing=False) if triangles else None
        self.transition = PairTransition(pair)

    def forward(self, z: Tensor, x: Tensor, mask: Tensor, recompute: bool) -> Tensor:
        """z: (B, T, T, p), x: (B, T, d), mask: (B, T). recompute: recomputes each part in the backward pass."""
        column, row = self.outer_sum(self.norm(x)).chunk(2, dim=-1)
        z = z + (column[:, None] + row[:, :, None])
        pairs = mask[:, :, None] & mask[:, None]
        if self.outgoing is not None:
            z = z + maybe_recomputed(recompute, self.outgoing, z, pairs)
            z = z + maybe_recomputed(recompute, self.incoming, z, pairs)
        return z + maybe_recomputed(recompute, self.transition, z)


def maybe_recomputed(recompute: bool, function, *inputs):
    """function(*inputs); with `recompute`, intermediate values are recomputed in the backward pass."""
    if recompute and torch.is_grad_enabled():
        return checkpoint(function, *inputs, use_reentrant=False)
    return function(*inputs)


def _truncated_normal(linear: nn.Linear, gain: float) -> None:
    """Normal weights cut at two standard deviations, then of standard deviation sqrt(gain / fan_in); zero bias."""
    cut = 0.8796256610342398  # standard deviation of a standard normal cut at +-2
    std = (gain / linear.in_features) ** 0.5 / cut
    nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(linear.bias)
