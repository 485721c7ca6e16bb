"""Training Proteína and saying what of it is to be twirled (spec proteina.md sections 3, 5 and 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from models.proteina.chains import ChainBatch
from models.proteina.distogram import distogram_loss
from models.proteina.network import Proteina, ProteinaConfig
from models.training.averaging import AveragedTask
from models.training.flow import (
    GaussianPrior,
    LinearPath,
    Noise,
    TimeDistribution,
    centred,
    sample_path,
    squared_error,
)
from models.training.sampling import stream_seed
from twirl.groups import SO3
from twirl.problem import Problem
from twirl.representations import Identity, Tree, Vectors

# How the network's inputs turn with the chain: nothing but coordinates does.
INPUTS = Tree(
    {
        "x_t": Vectors(),
        "t": Identity(),
        "mask": Identity(),
        "residue_index": Identity(),
        "chain_breaks": Identity(),
    }
)
FIXED_TIMES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)


@dataclass
class OptimizerConfig:
    """Adam at a constant rate, without weight decay. lr."""

    lr: float = 1e-4


@dataclass
class FlowConfig:
    """What is learnt. path: from noise to chains, and what the network gives of it. times: their distribution.

    self_conditioning: probability that a step shows the network its own first guess. distogram: weight of the
    loss of final distances, where pairs are updated. distogram_largest: their last limit [nm]. distogram_from: the
    loss counts at times after this one. rotate: turn every chain by a random rotation.
    """

    path: LinearPath = field(default_factory=LinearPath)
    times: TimeDistribution = field(default_factory=TimeDistribution)
    self_conditioning: float = 0.5
    distogram: float = 1.0
    distogram_largest: float = 1.0
    distogram_from: float = 0.3
    rotate: bool = True


@dataclass(frozen=True)
class Draw:
    """What is random in one training step: rotations (B, 3, 3), noise x_0 (B, n, 3), times t (B,), and the coin."""

    rotations: Tensor
    x_0: Tensor
    t: Tensor
    self_condition: bool


class ProteinaTask(AveragedTask):
    """Flow matching of C-alpha chains.

    network, optimizer, flow: see the classes. ema_decay: of the averaged weights, from step 0 without bias
    correction. monitor_times: where the equivariance error is measured. monitor_noise_seed: draws the noise of
    each of the monitor's chains, the same at every step and time.
    """

    def __init__(
        self,
        network: ProteinaConfig,
        optimizer: OptimizerConfig,
        flow: FlowConfig,
        ema_decay: float = 0.999,
        monitor_times: Sequence[float] = FIXED_TIMES,
        monitor_noise_seed: int = 0,
    ):
        super().__init__(Proteina(network), ema_decay)
        self.optimizer, self.flow = optimizer, flow
        self.prior = GaussianPrior()
        self.monitor_times, self.monitor_noise_seed = tuple(monitor_times), monitor_noise_seed

    def draw(self, batch: ChainBatch, seed: int, step: int) -> Draw:
        """The randomness of a step: functions of (seed, step, chain), whichever process has the chain."""
        generators = [_generator(seed, "view", step, chain) for chain in batch.chains.tolist()]
        dtype = batch.coordinates.dtype
        rotations = [SO3().sample(1, generator, dtype) for generator in generators]
        times = [self.flow.times.sample(generator) for generator in generators]
        coin = torch.rand((), generator=_generator(seed, "step", step)).item()
        device = batch.coordinates.device
        return Draw(
            torch.cat(rotations).to(device),
            self.prior.sample(batch.mask, generators, dtype),
            torch.tensor(times, dtype=dtype, device=device),
            coin < self.flow.self_conditioning,
        )

    def losses(self, batch: ChainBatch, draw: Draw) -> tuple[Tensor, Tensor]:
        """Flow and distogram loss of every chain, each (B,); the latter weighted, and zero where there is none."""
        path, x_1 = self.flow.path, batch.coordinates
        if self.flow.rotate:
            x_1 = (draw.rotations[:, None] * x_1[:, :, None]).sum(-1)
        sample = path.sample(draw.x_0, centred(x_1, batch.mask), draw.t)
        x_sc = None
        if draw.self_condition:
            with torch.no_grad():
                x_sc, _ = self.denoise(self.network, batch, sample.x_t, sample.t)
            # Weights that autocast converted without gradients would be used again with them.
            torch.clear_autocast_cache()
        x1_hat, logits = self.denoise(self.network, batch, sample.x_t, sample.t, x_sc)
        error = squared_error(x1_hat, sample.x_1, batch.mask)
        flow = path.weight(sample.t) * error
        if logits is None:
            return flow, torch.zeros_like(flow)
        counts = self.flow.distogram * (sample.t > self.flow.distogram_from)
        return flow, counts * distogram_loss(logits, sample.x_1, batch.mask, self.flow.distogram_largest)

    def denoise(
        self, network: nn.Module, batch: ChainBatch, x_t: Tensor, t: Tensor, x_sc: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """x1_hat (B, n, 3) [nm] of a network at points x_t of the path, and its logits of distances."""
        output, logits = network(x_t, t, batch.mask, batch.residue_index, batch.chain_breaks, x_sc)
        return self.flow.path.clean(x_t, t, output), logits

    def training_step(self, batch: ChainBatch) -> dict[str, Tensor]:
        draw = self.draw(batch, self.trainer.datamodule.seed, self.trainer.global_step)
        flow, distogram = (loss.mean() for loss in self.losses(batch, draw))
        return {"loss": flow + distogram, "flow": flow.detach(), "distogram": distogram.detach()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=self.optimizer.lr, fused=True)

    def twirl_problems(self, batch: ChainBatch) -> Mapping[str, Problem]:
        """Squared error of x1_hat [nm^2] at each fixed time, of raw and averaged weights, without self-conditioning.

        Noise is fixed per chain, so that measurements are paired over steps and times. Divided by (1 - t)^2 the
        losses are those of the velocity; the percent is the same.
        """
        generators = [_generator(self.monitor_noise_seed, "test", chain) for chain in batch.chains.tolist()]
        x_1 = centred(batch.coordinates, batch.mask)
        x_0 = self.prior.sample(batch.mask, generators, x_1.dtype)
        return {
            f"{series}/t={t:g}": self.fixed_time_problem(network, batch, x_0, x_1, t)
            for series, network in self.networks.items()
            for t in self.monitor_times
        }

    def fixed_time_problem(
        self, network: nn.Module, batch: ChainBatch, x_0: Tensor, x_1: Tensor, t: float
    ) -> Problem:
        """The network's x1_hat at time t, to twirl. x_0, x_1: (B, n, 3), centred.

        A chain of n_b residues is one row, scaled by sqrt(n / n_b): its loss is per component of the chain, not
        of the padded row, and chains weigh alike.
        """
        sample = self.flow.path.sample(x_0, x_1, x_1.new_full((len(x_1),), t))

        def model(x: Mapping[str, Tensor]) -> Tensor:
            output, _ = network(**x)
            return _per_chain(self.flow.path.clean(x["x_t"], x["t"], output), x["mask"])

        return Problem(
            model=model,
            x={
                "x_t": sample.x_t,
                "t": sample.t,
                "mask": batch.mask,
                "residue_index": batch.residue_index,
                "chain_breaks": batch.chain_breaks,
            },
            y=_per_chain(x_1, batch.mask),
            acts_on_x=INPUTS,
            acts_on_y=Vectors(),
        )

    @torch.no_grad()
    def generate(
        self,
        batch: ChainBatch,
        times: Tensor,
        noise: Noise | None = None,
        seed: int = 0,
        averaged: bool = True,
        self_condition: bool = True,
    ) -> Tensor:
        """New chains (B, n, 3) [nm] with the lengths, residue numbers and breaks of `batch`, by `sample_path`.

        chains number the samples: chain k and a seed give the same start wherever it stands in a batch.
        """
        network = self.ema.module if averaged else self.network
        generators = [_generator(seed, "test", chain) for chain in batch.chains.tolist()]
        x = self.prior.sample(batch.mask, generators, batch.coordinates.dtype)
        generator = torch.Generator(x.device).manual_seed(stream_seed(seed, "step"))

        def denoise(x_t: Tensor, t: Tensor, previous: Tensor | None) -> Tensor:
            return self.denoise(network, batch, x_t, t, previous if self_condition else None)[0]

        return sample_path(denoise, x, batch.mask, times, noise, generator)


def _per_chain(x: Tensor, mask: Tensor) -> Tensor:
    """x (B, n, 3) with zeros at padding, times sqrt(n / n_b)."""
    weight = mask.to(x.dtype)
    return x * (weight * (mask.shape[1] / weight.sum(1, keepdim=True)).sqrt())[..., None]


def _generator(seed: int, stream: str, *position: int) -> torch.Generator:
    return torch.Generator().manual_seed(stream_seed(seed, stream, *position))
