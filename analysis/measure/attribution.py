"""Which place's relaxation causes the equivariance error: the losses without its terms (claim X2)."""

import pandas as pd

from analysis.measure.settings import AttributionSettings
from analysis.measure.trained import Trained
from models.training.relaxation import RelaxedTask
from models.training.series import RAW, SERIES_COLUMNS, parse_key
from twirl.monitor import EquivarianceMonitor, step_seed, undisturbed

COLUMNS = ("step", *SERIES_COLUMNS, "metric", "value")


def measure(network: Trained, settings: AttributionSettings) -> pd.DataFrame:
    """The method's own readout with all terms, and without those of one place at a time, of every place that has any.

    On the monitor's batches with the rotations that it has at this step. Columns: step; those of a series, `without`
    the place; metric and value, as the monitor's.
    """
    module = network.module
    if not isinstance(module, RelaxedTask):
        raise ValueError(f"attribution: a run of {type(module).__name__}, whose layers are not relaxed")
    options = {"rotations": settings.rotations or network.monitor["rotations"], "seed": network.seed}
    monitor = EquivarianceMonitor(**options, chunk=network.monitor["chunk"])
    rows = []
    with undisturbed(module, step_seed(network.seed, network.step)):
        batches = network.batches(network.monitor["batches"])
        readings = {RAW.key: module.readings()[RAW.key]} | module.attributed()
        found = monitor.errors(
            lambda batch: module.problems(batch, readings), batches, module.device, network.step
        )
        for series, metric in found.items():
            for name, value in metric.compute().items():
                of = parse_key(f"val/{series}/{name}")
                columns = {key: of[key] for key in (*SERIES_COLUMNS, "metric")}
                rows.append({"step": network.step, **columns, "value": value})
    return pd.DataFrame(rows, columns=COLUMNS)
