"""Proteína's network, from noised C-alpha coordinates and a time to a velocity (spec proteina.md section 4).

Read from top to bottom in order of execution. B chains padded to n residues, r registers, T = r + n tokens. The network
is not equivariant: a linear map reads coordinates, and another one gives the velocity.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.proteina.blocks import (
    AdaptiveNorm,
    Layer,
    PairUpdate,
    Transition,
    attention_biases,
    maybe_recomputed,
)
from models.proteina.features import distance_bins, index_embedding, separation_bins, time_embedding
from models.proteina.settings import ProteinaConfig


class FoldEmbedding(nn.Module):
    """CATH labels (B, 3), negative where unknown, -> (B, 3 * width). The last row of a table is the unknown label."""

    def __init__(self, classes: tuple[int, int, int], width: int):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(count + 1, width) for count in classes)

    def forward(self, labels: Tensor) -> Tensor:
        rows = [
            table(label.where(label >= 0, table.num_embeddings - 1))
            for table, label in zip(self.tables, labels.T, strict=True)
        ]
        return torch.cat(rows, dim=1)


class PairFeatures(nn.Module):
    """Initial features of pairs of residues: (B, n, n, p).

    One-hot separations and distances, a linear map, a norm, and an adaptive norm that depends on the time.
    """

    def __init__(self, config: ProteinaConfig):
        super().__init__()
        self.config = config
        width = config.separation_bins + config.x_sc_bins + config.x_t_bins
        self.linear = nn.Linear(width, config.pair, bias=False)
        self.norm = nn.LayerNorm(config.pair)
        self.cond = nn.Linear(config.time, config.cond, bias=False)
        self.cond_norm = nn.LayerNorm(config.cond)
        self.adaptive = AdaptiveNorm(config.pair, config.cond)

    def columns(self, x_t: Tensor, index: Tensor, x_sc: Tensor | None) -> Tensor:
        """The indices of the ones of every pair: (B, n, n, 3), or 2 without x_sc, which then contributes nothing."""
        c = self.config
        hot = [separation_bins(index, c.separation_bins)]
        if x_sc is not None:
            hot.append(c.separation_bins + distance_bins(x_sc, c.x_sc_bins, c.least, c.largest))
        first = c.separation_bins + c.x_sc_bins
        hot.append(first + distance_bins(x_t, c.x_t_bins, c.least, c.largest))
        return torch.stack(hot, dim=-1)

    def embedded(self, columns: Tensor) -> Tensor:
        """The normalised linear map of the one-hot features."""
        rows = F.embedding_bag(columns.flatten(0, 2), self.linear.weight.T.contiguous(), mode="sum")
        return self.norm(rows.unflatten(0, columns.shape[:3]))

    def forward(self, columns: Tensor, time: Tensor) -> Tensor:
        """columns: from `columns`; time: (B, E) embedded."""
        scale, shift = self.adaptive.modulation(self.cond_norm(self.cond(time)))
        return self.adaptive(self.embedded(columns), scale[:, None, None], shift[:, None, None])


class Decoder(nn.Module):
    """Tokens (..., d) to velocities (..., 3)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(x))


class Proteina(nn.Module):
    """Velocities of chains and, if the network updates pairs, logits of the distances in the clean chain."""

    def __init__(self, config: ProteinaConfig):
        super().__init__()
        c = self.config = config
        self.registers = nn.Parameter(torch.randn(c.registers, c.width) / 20)
        self.coordinates = nn.Linear(3, c.width, bias=False)
        self.sequence = nn.Linear(c.index + 4, c.width, bias=False)
        self.fold = FoldEmbedding(c.fold_classes, c.fold)
        self.cond = nn.Linear(c.time + 3 * c.fold, c.cond, bias=False)
        self.cond_transitions = nn.ModuleList(Transition(c.cond, 2) for _ in range(2))
        self.pair_features = PairFeatures(c)
        self.layers = nn.ModuleList(
            Layer(c.width, c.heads, c.pair, c.cond, c.normalise_queries) for _ in range(c.layers)
        )
        hidden = min(c.pair, 196) if c.hidden is None else c.hidden
        self.pair_updates = nn.ModuleDict(
            {
                str(i): PairUpdate(c.width, c.pair, hidden, c.triangles)
                for i in range(c.layers)
                if c.updates_after(i)
            }
        )
        self.pair_head = (
            None
            if c.update_every is None
            else nn.Sequential(nn.LayerNorm(c.pair), nn.Linear(c.pair, c.buckets))
        )
        self.decoder = Decoder(c.width)

    def condition(self, t: Tensor, fold: Tensor | None = None) -> Tensor:
        """Times (B,) and fold labels (B, 3), None where unknown, -> (B, c), the same for all residues of a chain."""
        labels = torch.full((len(t), 3), -1, device=t.device) if fold is None else fold
        cond = self.cond(torch.cat([time_embedding(t, self.config.time), self.fold(labels)], dim=1))
        for transition in self.cond_transitions:
            cond = transition(cond)
        return cond

    def sequence_features(
        self, mask: Tensor, index: Tensor, chain_breaks: Tensor | None, x_sc: Tensor | None, like: Tensor
    ) -> Tensor:
        """Residue numbers, chain breaks and self-conditioning coordinates -> (B, n, d), zero at padding."""
        from_one = index - index[:, :1] + 1
        zeros = torch.zeros_like(like)
        features = {
            "index": index_embedding(from_one, self.config.index, like.dtype),
            "chain_break": zeros[..., :1] if chain_breaks is None else chain_breaks[..., None].to(like.dtype),
            "x_sc": zeros if x_sc is None else x_sc,
        }
        together = torch.cat([features[name] for name in self.config.sequence_features], dim=-1)
        return self.sequence(together * mask[..., None])

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        mask: Tensor,
        residue_index: Tensor | None = None,
        chain_breaks: Tensor | None = None,
        x_sc: Tensor | None = None,
        fold: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Velocities (B, n, 3), zero at padding, and logits of the distances (B, n, n, buckets) or None.

        x_t: (B, n, 3) [nm], centred. t: (B,). mask: (B, n), true at residues. residue_index: (B, n) long, the
        authors' numbers; None counts from 1. chain_breaks: (B, n), true before a gap; None: nowhere. x_sc:
        (B, n, 3) an earlier prediction of the clean coordinates. fold: (B, 3) labels, negative where unknown.
        """
        c = self.config
        B, n, r = *mask.shape, c.registers
        index = residue_index
        if index is None:
            index = torch.arange(1, n + 1, device=mask.device).expand(B, n)
        cond = self.condition(t, fold)
        cond = torch.cat([cond, torch.zeros_like(cond[:1])])  # the last row is the registers'

        residues = self.coordinates(x_t * mask[..., None])
        residues = residues + self.sequence_features(mask, index, chain_breaks, x_sc, x_t)
        x = torch.cat([self.registers.to(residues.dtype).expand(B, -1, -1), residues], dim=1)
        tokens = F.pad(mask, (r, 0), value=True)
        z = maybe_recomputed(
            c.recompute != "nothing",
            self.pair_features,
            self.pair_features.columns(x_t, index, x_sc),
            time_embedding(t, c.time),
        )
        if len(self.pair_updates):
            z = F.pad(z, (0, 0, r, 0, r, 0))

        biases: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            if not biases:  # biases of this layer and of those that follow before the next update
                biases = attention_biases([other.pair_bias for other in self._readers(i)], z, tokens)
            x = maybe_recomputed(c.recompute == "everything", layer, x, biases.pop(0), cond, r)
            if c.updates_after(i):
                z = self.pair_updates[str(i)](z, x, tokens, c.recompute != "nothing")
        velocity = self.decoder(x[:, r:]) * mask[..., None]
        return velocity, None if self.pair_head is None else self.pair_head(self._of_residues(z, n))

    def _readers(self, first: int) -> nn.ModuleList:
        """The layers from `first` to the next pair update, which read the same pairs."""
        last = first
        while last < len(self.layers) - 1 and not self.config.updates_after(last):
            last += 1
        return self.layers[first : last + 1]

    @staticmethod
    def _of_residues(z: Tensor, residues: int) -> Tensor:
        return z[:, -residues:, -residues:]
