"""Norm and SiLU in one."""

import torch.nn.functional as F
from torch import Tensor, nn


def norm_silu(x: Tensor, norm: nn.Module) -> Tensor:
    return F.silu(norm(x))
