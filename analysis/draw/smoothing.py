"""The variable-span exponential average that paper A draws over its noisy evaluations."""

from __future__ import annotations

import numpy as np


def variable_span_ema(values: np.ndarray, position: np.ndarray, divisor: float = 1000.0) -> np.ndarray:
    """Smooth `values: (n,)` with a span that grows with `position: (n,)`, the step or row of each value.

        span_i = max(1, position_i / divisor)    a_i = 2 / (span_i + 1)
        out_0 = values_0                         out_i = a_i values_i + (1 - a_i) out_{i-1}

    Up to `position = divisor` the span is 1, and the values are returned unchanged. Paper A uses divisor
    1000 for the Proteina curves (position = row) and for Fig. 10, and 100 for Fig. 7 (position = step).
    """
    values, position = np.asarray(values, float), np.asarray(position, float)
    if values.shape != position.shape:
        raise ValueError(
            f"{len(values)} values but {len(position)} positions: one position per value is needed"
        )
    weight = 2.0 / (np.maximum(1.0, position / divisor) + 1.0)
    smooth = values.copy()
    for i in range(1, len(values)):
        smooth[i] = weight[i] * values[i] + (1.0 - weight[i]) * smooth[i - 1]
    return smooth
