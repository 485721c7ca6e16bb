"""AdamW without its epsilon, whose steps do not depend on the scale of the loss (spec voxmol.md section 5)."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class ScaleFreeAdamW(torch.optim.Optimizer):
    """AdamW with eps = 0: an entry whose gradients were all zero (or have squares that are) only decays.

    Parameters without a gradient are left alone.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.99, 0.999),
        weight_decay: float = 0.01,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._update(params, group)
        return loss

    def _update(self, params: list[Tensor], group: dict) -> None:
        for p in params:
            if not self.state[p]:
                self.state[p] = {
                    "step": 0,
                    "mean": torch.zeros_like(p),
                    "square": torch.zeros_like(p),
                }
            self.state[p]["step"] += 1
        (b1, b2), lr = group["betas"], group["lr"]
        grads = [p.grad for p in params]
        means, squares = ([self.state[p][name] for p in params] for name in ("mean", "square"))
        torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        torch._foreach_lerp_(means, grads, 1 - b1)
        torch._foreach_mul_(squares, b2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - b2)
        scales = torch._foreach_sqrt(squares)
        steps = [self.state[p]["step"] for p in params]
        torch._foreach_div_(scales, [math.sqrt(1 - b2**t) for t in steps])
        for scale in scales:
            scale.masked_fill_(scale == 0, math.inf)
        torch._foreach_addcdiv_(params, means, scales, [-lr / (1 - b1**t) for t in steps])
