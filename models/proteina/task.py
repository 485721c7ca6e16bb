"""Training Proteína, and the problems whose equivariance error the monitor measures (spec proteina.md 3, 5 and 6)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.datasets.pdb import ChainBatch
from models.proteina.distogram import distogram_loss
from models.proteina.network import Proteina
from models.proteina.settings import ProteinaTaskSettings
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
from models.training.optimizer import optimizer
from models.training.sampling import stream_seed
from twirl.groups import SO3
from twirl.problem import Problem
from twirl.representations import Identity, Tree, Vectors

# How the network's inputs transform when the chain rotates: only coordinates do.
INPUTS = Tree(
    {
        "x_t": Vectors(),
        "t": Identity(),
        "mask": Identity(),
        "residue_index": Identity(),
        "chain_breaks": Identity(),
    }
)


@dataclass(frozen=True)
class Draw:
    """The random numbers of a step: rotations (B, 3, 3), noise x_0 (B, n, 3), times t (B,), self-conditioning."""

    rotations: Tensor
    x_0: Tensor
    t: Tensor
    self_condition: bool


class ProteinaTask(AveragedTask):
    """Flow matching of C-alpha chains."""

    def __init__(self, settings: ProteinaTaskSettings):
        super().__init__(Proteina(settings.network), settings.ema_decay)
        self.settings, self.flow = settings, settings.flow
        self.path, self.prior = LinearPath(settings.flow.path.output), GaussianPrior()
        self.times = TimeDistribution(settings.flow.times.power, settings.flow.times.uniform)

    def draw(self, batch: ChainBatch, seed: int, step: int) -> Draw:
        """The random numbers of a step, functions of (seed, step, chain) in whichever process."""
        generators = [_generator(seed, "view", step, chain) for chain in batch.chains.tolist()]
        dtype = batch.coordinates.dtype
        rotations = [SO3().sample(1, generator, dtype) for generator in generators]
        times = [self.times.sample(generator) for generator in generators]
        coin = torch.rand((), generator=_generator(seed, "step", step)).item()
        device = batch.coordinates.device
        return Draw(
            torch.cat(rotations).to(device),
            self.prior.sample(batch.mask, generators, dtype),
            torch.tensor(times, dtype=dtype, device=device),
            coin < self.flow.self_conditioning,
        )

    def losses(self, batch: ChainBatch, draw: Draw) -> tuple[Tensor, Tensor]:
        """Flow and weighted distogram loss of every chain, each (B,); the latter is zero if the network has none."""
        x_1 = (draw.rotations[:, None] * batch.coordinates[:, :, None]).sum(-1)
        sample = self.path.sample(draw.x_0, centred(x_1, batch.mask), draw.t)
        x_sc = None
        if draw.self_condition:
            with torch.no_grad():
                x_sc, _ = self.denoise(self.network, batch, sample.x_t, sample.t)
            # Otherwise autocast would reuse weights that it converted without gradients where gradients are needed.
            torch.clear_autocast_cache()
        x1_hat, logits = self.denoise(self.network, batch, sample.x_t, sample.t, x_sc)
        error = squared_error(x1_hat, sample.x_1, batch.mask)
        flow = self.path.weight(sample.t) * error
        if logits is None:
            return flow, torch.zeros_like(flow)
        counts = self.flow.distogram * (sample.t > self.flow.distogram_from)
        return flow, counts * distogram_loss(logits, sample.x_1, batch.mask, self.flow.distogram_largest)

    def denoise(
        self, network: nn.Module, batch: ChainBatch, x_t: Tensor, t: Tensor, x_sc: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """A network's x1_hat (B, n, 3) [nm] at points x_t of the path, and its logits of distances."""
        output, logits = network(x_t, t, batch.mask, batch.residue_index, batch.chain_breaks, x_sc)
        return self.path.clean(x_t, t, output), logits

    def training_step(self, batch: ChainBatch) -> dict[str, Tensor]:
        draw = self.draw(batch, self.trainer.datamodule.seed, self.trainer.global_step)
        flow, distogram = (loss.mean() for loss in self.losses(batch, draw))
        return {"loss": flow + distogram, "flow": flow.detach(), "distogram": distogram.detach()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer(self.settings.optimizer, self.network.parameters())

    def monitored_ends(self, batch: ChainBatch) -> tuple[Tensor, Tensor]:
        """x_0 and x_1 of the monitor's problems; the noise of a chain is fixed."""
        generators = [
            _generator(self.settings.monitor_noise_seed, "test", chain) for chain in batch.chains.tolist()
        ]
        x_1 = centred(batch.coordinates, batch.mask)
        return self.prior.sample(batch.mask, generators, x_1.dtype), x_1

    def twirl_problems(self, batch: ChainBatch) -> Mapping[str, Problem]:
        """Squared error of x1_hat [nm^2] at each fixed time, for raw and averaged weights, without self-conditioning.

        The noise of a chain is fixed, so that measurements are paired over steps and times. Divided by (1 - t)^2 the
        losses are those of the velocity; the percent is the same.
        """
        ends = self.monitored_ends(batch)
        return {
            f"{series}/t={t:g}": self.fixed_time_problem(network, batch, *ends, t)
            for series, network in self.networks.items()
            for t in self.settings.monitor_times
        }

    def problem_at(self, batch: ChainBatch, weights: str, t: float) -> Problem:
        """The problem of raw or averaged weights at any one time."""
        return self.fixed_time_problem(self.networks[weights], batch, *self.monitored_ends(batch), t)

    def fixed_time_problem(
        self, network: nn.Module, batch: ChainBatch, x_0: Tensor, x_1: Tensor, t: float
    ) -> Problem:
        """The twirling problem of the network's x1_hat at time t, minus `path.idle`. x_0, x_1: (B, n, 3), centred.

        A chain of n_b residues is one row, scaled by sqrt(n / n_b): its loss is per component of the chain, not
        of the padded row, and all chains have the same weight. For networks that predict velocities, `idle` is x_t,
        the x1_hat of a zero output. Subtracting it from prediction and target changes no loss, and makes the
        constant-zero predictor the one with zero velocity.
        """
        path = self.path
        sample = path.sample(x_0, x_1, x_1.new_full((len(x_1),), t))

        def model(x: Mapping[str, Tensor]) -> Tensor:
            output, _ = network(**x)
            return _per_chain(path.gain(x["t"], output), x["mask"])

        return Problem(
            model=model,
            x={
                "x_t": sample.x_t,
                "t": sample.t,
                "mask": batch.mask,
                "residue_index": batch.residue_index,
                "chain_breaks": batch.chain_breaks,
            },
            y=_per_chain(x_1 - path.idle(sample.x_t), batch.mask),
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

        batch.chains number the samples: up to rounding, number k and a seed give the same sample in any batch.
        """
        network = self.ema.module if averaged else self.network
        # Derived, so that sample k does not start from the noise of the monitor's chain k.
        own = stream_seed(seed, "test")
        generators, of_noise = (
            [_generator(own, stream, chain) for chain in batch.chains.tolist()] for stream in ("test", "step")
        )
        x = self.prior.sample(batch.mask, generators, batch.coordinates.dtype)

        def denoise(x_t: Tensor, t: Tensor, previous: Tensor | None) -> Tensor:
            return self.denoise(network, batch, x_t, t, previous if self_condition else None)[0]

        return sample_path(denoise, x, batch.mask, times, noise, of_noise)


def _per_chain(x: Tensor, mask: Tensor) -> Tensor:
    """x (B, n, 3), zero at padding, times sqrt(n / n_b)."""
    weight = mask.to(x.dtype)
    return x * (weight * (mask.shape[1] / weight.sum(1, keepdim=True)).sqrt())[..., None]


def _generator(seed: int, stream: str, *position: int) -> torch.Generator:
    return torch.Generator().manual_seed(stream_seed(seed, stream, *position))
