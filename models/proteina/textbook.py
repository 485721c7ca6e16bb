"""The formulas of spec proteina.md section 4 without optimisation, which tests and the benchmark compare with.

Pair features are one-hot and multiplied by a matrix, the condition is repeated and mapped for every token and pair,
pairs are normalised in every layer, every part masks its output, and attention is products and a
softmax. The weights are those of a Proteina.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.proteina.blocks import AdaptiveNorm, Layer, PairUpdate, Transition, TriangleMultiplication
from models.proteina.features import distance_bins, separation_bins, time_embedding
from models.proteina.network import Proteina


def predict(
    network: Proteina,
    x_t: Tensor,
    t: Tensor,
    mask: Tensor,
    residue_index: Tensor,
    chain_breaks: Tensor,
    x_sc: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """As Proteina.forward, without fold labels."""
    c, m = network.config, mask[..., None].to(x_t.dtype)
    B, n = mask.shape
    pairs = m[:, :, None] * m[:, None]
    time = time_embedding(t, c.time)
    unknown = network.fold(torch.full((B, 3), -1, device=t.device))
    cond = torch.cat([time, unknown], dim=1)[:, None].expand(B, n, -1)
    cond = network.cond(cond * m) * m
    for transition in network.cond_transitions:
        cond = _transition(transition, cond, m)
    features = network.sequence_features(mask, residue_index, chain_breaks, x_sc, x_t)
    x = m * (network.coordinates(x_t) + features)
    z = _pairs(network, x_t, time, residue_index, x_sc, pairs)

    r = c.registers
    x = torch.cat([network.registers.expand(B, -1, -1), x], dim=1)
    cond = F.pad(cond, (0, 0, r, 0))
    z = F.pad(z, (0, 0, r, 0, r, 0))
    m = F.pad(m, (0, 0, r, 0), value=1.0)
    for i, layer in enumerate(network.layers):
        x = _layer(layer, x, z, cond, m)
        if c.updates_after(i):
            z = _update(network.pair_updates[str(i)], z, x, m)
    velocity = network.decoder(x[:, r:]) * m[:, r:]
    return velocity, None if network.pair_head is None else network.pair_head(z[:, r:, r:])


def _pairs(network: Proteina, x_t, time, residue_index, x_sc, pairs) -> Tensor:
    features, c = network.pair_features, network.config
    n = x_t.shape[1]

    def one_hot(labels: Tensor, bins: int) -> Tensor:
        return F.one_hot(labels.long(), bins).to(x_t.dtype)

    of_guess = pairs.new_zeros(*pairs.shape[:3], c.x_sc_bins)
    if x_sc is not None:
        of_guess = one_hot(distance_bins(x_sc, c.x_sc_bins, c.least, c.largest), c.x_sc_bins)
    raw = torch.cat(
        [
            one_hot(separation_bins(residue_index, c.separation_bins), c.separation_bins),
            of_guess,
            one_hot(distance_bins(x_t, c.x_t_bins, c.least, c.largest), c.x_t_bins),
        ],
        dim=-1,
    )
    z = features.norm(features.linear(raw * pairs)) * pairs
    cond = time[:, None, None].expand(-1, n, n, -1)
    cond = features.cond_norm(features.cond(cond * pairs)) * pairs
    return _adaptive(features.adaptive, z, cond, pairs)


def _adaptive(adaptive: AdaptiveNorm, x: Tensor, cond: Tensor, m: Tensor) -> Tensor:
    cond = adaptive.cond_norm(cond)
    normed = F.layer_norm(x, x.shape[-1:])
    return (normed * adaptive.scale(cond).sigmoid() + adaptive.shift(cond)) * m


def _transition(transition: Transition, x: Tensor, m: Tensor) -> Tensor:
    value, gate = transition.up(x).chunk(2, dim=-1)
    return transition.down(F.silu(gate) * value) * m


def _layer(layer: Layer, x: Tensor, z: Tensor, cond: Tensor, m: Tensor) -> Tensor:
    x = x * m
    attended = _attention(layer, _adaptive(layer.attention_adaptive, x, cond, m), z, m) * m
    x = (x + attended * layer.attention_gate(cond).sigmoid() * m) * m
    moved = _transition(layer.transition, _adaptive(layer.transition_adaptive, x, cond, m), m)
    return (x + moved * layer.transition_gate(cond).sigmoid() * m) * m


def _attention(layer: Layer, x: Tensor, z: Tensor, m: Tensor) -> Tensor:
    attention = layer.attention
    x = attention.norm(x)
    query, key, value = attention.qkv(x).chunk(3, dim=-1)
    heads = (attention.query_norm(query), attention.key_norm(key), value)
    query, key, value = (part.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for part in heads)
    bias = layer.pair_bias.linear(layer.pair_bias.norm(z)).permute(0, 3, 1, 2)
    valid = (m * m.mT)[:, None] > 0
    logits = query @ key.mT / query.shape[-1] ** 0.5
    logits = logits.masked_fill(~valid, torch.finfo(logits.dtype).min) + bias
    mixed = (logits.softmax(-1) @ value).transpose(1, 2).flatten(2)
    return attention.out(attention.gate(x).sigmoid() * mixed)


def _update(update: PairUpdate, z: Tensor, x: Tensor, m: Tensor) -> Tensor:
    pairs = m[:, :, None] * m[:, None]
    column, row = update.outer_sum(update.norm(x * m)).chunk(2, dim=-1)
    z = (z + column[:, None] + row[:, :, None]) * pairs
    if update.outgoing is not None:
        z = (z + _triangles(update.outgoing, z, pairs)) * pairs
        z = (z + _triangles(update.incoming, z, pairs)) * pairs
    return (z + update.transition(z)) * pairs


def _triangles(layer: TriangleMultiplication, z: Tensor, pairs: Tensor) -> Tensor:
    y = layer.norm_in(z)
    a = pairs * layer.a(y) * layer.a_gate(y).sigmoid()
    b = pairs * layer.b(y) * layer.b_gate(y).sigmoid()
    third = "bikc,bjkc->bijc" if layer.outgoing else "bkic,bkjc->bijc"
    return layer.out(layer.norm_out(torch.einsum(third, a, b))) * layer.out_gate(y).sigmoid()
