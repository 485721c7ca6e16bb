"""Training with an exponential moving average (EMA) of the weights."""

from lightning.pytorch import LightningModule
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class AveragedTask(LightningModule):
    """A task with `network`, which is trained, and `ema`, whose `module` has the averaged weights.

    ema_decay: decay per step; the average starts at step 0, without bias correction.
    """

    def __init__(self, network: nn.Module, ema_decay: float):
        super().__init__()
        self.network = network
        self.ema = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(ema_decay))
        self.ema.n_averaged.fill_(1)  # the average starts at the initial weights, not at the first update
        self.ema.requires_grad_(False)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks that are measured, by series."""
        return {"raw": self.network, "ema": self.ema.module}

    def twirl_parameters(self) -> dict[str, list[nn.Parameter]]:
        """The parameters that the predictions of each series depend on."""
        return {series: list(network.parameters()) for series, network in self.networks.items()}

    def configure_gradient_clipping(
        self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None
    ) -> None:
        if gradient_clip_val is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val, foreach=True)

    def optimizer_step(self, *args, **kwargs) -> None:
        super().optimizer_step(*args, **kwargs)
        self.ema.update_parameters(self.network)
