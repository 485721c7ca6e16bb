"""The base of all data modules: training batches that are functions of (seed, step)."""

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from models.training.sampling import StepBatches


class StepData(LightningDataModule):
    """Training batches by step; a subclass gives the number of `examples` and loads the rows of a batch.

    batch_size: examples per step over all processes. seed, steps: of the run. drop_last: examples that do not fill a
    batch are left for the next epoch.
    """

    def __init__(self, batch_size: int, seed: int, steps: int, drop_last: bool):
        super().__init__()
        self.batch_size, self.seed, self.steps, self.drop_last = batch_size, seed, steps, drop_last

    @property
    def examples(self) -> int:
        """The number of training examples."""
        raise NotImplementedError

    def load(self, batches: StepBatches, rank: int) -> DataLoader:
        """A loader of one TensorBatch for every list of rows in `batches`."""
        raise NotImplementedError

    @property
    def steps_per_epoch(self) -> int:
        return self._batches().steps_per_epoch

    def samples_seen(self, step: int) -> int:
        return self._batches().samples_seen(step)

    def train_dataloader(self) -> DataLoader:
        """Starts at the trainer's step."""
        trainer = self.trainer
        batches = self._batches(trainer.global_step, trainer.global_rank, trainer.world_size)
        return self.load(batches, trainer.global_rank)

    def _batches(self, start: int = 0, rank: int = 0, world_size: int = 1) -> StepBatches:
        return StepBatches(
            self.examples, self.batch_size, self.steps, self.seed, rank, world_size, start, self.drop_last
        )
