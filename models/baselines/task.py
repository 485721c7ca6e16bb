"""Training a baseline on bodies or particles, as the networks that it stands beside are trained."""

from models.baselines.network import build
from models.baselines.settings import BaselineTaskSettings
from models.training.prediction import PredictionTask


class BaselineTask(PredictionTask):
    """One of the simple networks."""

    def __init__(self, settings: BaselineTaskSettings):
        super().__init__(build(settings.network), settings.optimizer, settings.evaluate_every)
