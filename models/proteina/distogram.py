"""The auxiliary loss of networks that update pairs: classification of distances (spec proteina.md section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.proteina.features import squared_distances


def distogram_loss(logits: Tensor, x_1: Tensor, mask: Tensor, largest: float = 1.0) -> Tensor:
    """Cross-entropy of the distances' classes, averaged over a chain's pairs, the diagonal included: (B,).

    logits: (B, n, n, buckets). x_1: (B, n, 3) [nm], mask: (B, n). The class of a distance is the number of limits
    strictly below it, of buckets - 1 evenly spaced limits on [0, largest].
    """
    pairs = (mask[:, :, None] & mask[:, None]).to(x_1.dtype)
    limits = torch.linspace(0, largest, logits.shape[-1] - 1, dtype=x_1.dtype, device=x_1.device)
    labels = torch.bucketize(squared_distances(x_1).sqrt(), limits)
    entropy = F.cross_entropy(logits.movedim(-1, 1).to(x_1.dtype), labels, reduction="none")
    return (entropy * pairs).sum((1, 2)) / (pairs.sum((1, 2)) + 1e-10)
