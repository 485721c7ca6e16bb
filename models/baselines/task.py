"""Training a baseline on motion capture or particles, like the networks that it is compared with."""

from models.baselines.network import build
from models.baselines.settings import BaselineTaskSettings
from models.training.prediction import PredictionTask


class BaselineTask(PredictionTask):
    """One of the simple networks."""

    def __init__(self, settings: BaselineTaskSettings):
        super().__init__(build(settings.network), settings.optimizer, settings.evaluate_every)
