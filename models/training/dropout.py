"""Dropout with fewer random numbers on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor


def dropout(x: Tensor, probability: float, training: bool) -> Tensor:
    """Zeroes entries with `probability` (rounded to 1/65536 on CPU) and scales the rest by 1 / (1 - probability).

    On a CPU torch draws one 64-bit random number for every entry, which takes a fifth of EScAIP's step; here four
    entries share one. Other devices use torch's own kernel.
    """
    if not training or probability == 0.0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, probability)
    dropped = round(probability * 65536)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    draws = words.view(torch.int16)[: x.numel()].view(x.shape)  # uniform on -32768 .. 32767
    kept = torch.empty(x.shape, dtype=x.dtype)
    torch.ge(draws, dropped - 32768, out=kept)
    return x * kept.mul_(65536 / (65536 - dropped))
