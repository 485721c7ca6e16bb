"""Training PaiNN to predict positions, like the networks that it is compared with."""

from models.painn.network import PaiNN
from models.painn.settings import PaiNNTaskSettings
from models.training.prediction import PredictionTask


class PaiNNTask(PredictionTask):
    """Positions at the last target frame by the mean squared error."""

    def __init__(self, settings: PaiNNTaskSettings):
        super().__init__(PaiNN(settings.network), settings.optimizer, settings.evaluate_every)
