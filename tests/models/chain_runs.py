"""A data module of synthetic chains, and a run on it that takes seconds."""

import numpy as np
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from models.datasets.pdb import ChainBatch, padded
from models.training.batch import batch_loader
from models.training.sampling import StepBatches
from tests.models.chains import NETWORK, walk

RESIDUES = 12


class Walks(Dataset):
    """Twelve random walks, asked for in whole batches."""

    def __init__(self, count: int = 12):
        rng = np.random.default_rng(0)
        self.walks = [walk(RESIDUES, rng) for _ in range(count)]

    def __len__(self) -> int:
        return len(self.walks)

    def __getitems__(self, rows: list[int]) -> ChainBatch:
        numbers = [np.arange(RESIDUES) + 1 for _ in rows]
        return padded([self.walks[row] for row in rows], numbers, rows)


class WalkData(LightningDataModule):
    """Training batches by step; the monitor sees the first four walks."""

    def __init__(self, batch_size: int, seed: int, steps: int):
        super().__init__()
        self.walks = Walks()
        self.batch_size, self.seed, self.steps = batch_size, seed, steps

    def _batches(self, start: int = 0, rank: int = 0, world_size: int = 1) -> StepBatches:
        return StepBatches(len(self.walks), self.batch_size, self.steps, self.seed, rank, world_size, start)

    def samples_seen(self, step: int) -> int:
        return self._batches().samples_seen(step)

    def train_dataloader(self) -> DataLoader:
        trainer = self.trainer
        return batch_loader(
            self.walks, self._batches(trainer.global_step, trainer.global_rank, trainer.world_size), 0
        )

    def monitor_dataloader(self) -> list[ChainBatch]:
        return [self.walks.__getitems__([0, 1]), self.walks.__getitems__([2, 3])]

    def describe(self, batch: ChainBatch) -> str:
        return f"walks {batch.chains.tolist()}"

    def provenance(self) -> dict[str, object]:
        return {"source": "random walks"}


def configuration(name: str = "tiny", steps: int = 10, **network) -> dict:
    return {
        "run": {
            "tier": "test",
            "name": name,
            "system": "proteina",
            "dataset": "pdb",
            "label": "x",
            "seed": 0,
        },
        "model": {
            "class_path": "models.proteina.task.ProteinaTask",
            "init_args": {
                "network": NETWORK | network,
                "optimizer": {"lr": 0.003},
                "flow": {"self_conditioning": 0.5},
                "ema_decay": 0.9,
                "monitor_times": [0.0, 0.8],
            },
        },
        "data": {"class_path": "tests.models.chain_runs.WalkData", "init_args": {"batch_size": 4}},
        "trainer": {"max_steps": steps, "checkpoint_every": 3, "log_every": 2, "gradient_clip_val": 1.0},
        "monitor": {"steps": 5, "rotations": 3},
    }
