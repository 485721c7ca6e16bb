"""`Series`, which identifies what a logged value describes, and the keys of values in loggers.

A key is <split>/<weights>/<name>=<value>/.../<metric>: `val/ema/percent`, `val/ema/t=0.4/percent`,
`val/raw/readout=kept/group=vertical/percent`, `relaxation/place=layers.0.message/alpha_W`. The parts between split and
metric are optional. The fields of a series that are left out have the defaults of `Series()`; `t` is the time on a
flow's path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, order=True)
class Series:
    """What a value describes.

    weights: "raw"; "ema", their exponential moving average; "zero", the constant-zero predictor instead of a network.
    readout: evaluation variant of a relaxed network: "own", the method's default; "kept", with every term; "projected",
    without terms. group: the rotations of the equivariance error: "", those of the problem (all rotations unless the
    system chooses others); "vertical", those about the vertical axis; "octahedral", all 24 of the grid. without: the
    place whose terms are left out, "" for none. place: the relaxed layer that a quantity belongs to, "" for the whole
    network.
    """

    weights: str = "raw"
    readout: str = "own"
    group: str = ""
    without: str = ""
    place: str = ""

    @property
    def key(self) -> str:
        """The series as part of a logger's key: "raw", "raw/readout=kept/group=vertical"."""
        own = Series()
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        weights = named.pop("weights")
        return "/".join(
            [weights, *(f"{name}={value}" for name, value in named.items() if value != getattr(own, name))]
        )

    def __str__(self) -> str:
        """The series' name in the CSV files of figures: raw, ema, zero, kept, raw-vertical, without <place>."""
        read = self.weights if self.readout == "own" else self.readout
        name = f"without {self.without}" if self.without else read
        return f"{name}-{self.group}" if self.group else name


RAW, EMA, ZERO = Series("raw"), Series("ema"), Series("zero")
SERIES_COLUMNS = tuple(field.name for field in fields(Series))


def parse_key(key: str) -> dict[str, str | float]:
    """split, the fields of a Series, t (nan if absent) and metric of a logger's key.

    Raises ValueError for a key of another form.
    """
    split, *parts, metric = ["", *key.split("/")] if "/" not in key else key.split("/")
    found: dict[str, str | float] = {name: getattr(RAW, name) for name in SERIES_COLUMNS} | {"t": math.nan}
    if parts and "=" not in parts[0]:
        found["weights"] = parts.pop(0)
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or name not in found or name == "weights":
            raise ValueError(
                f"metric '{key}': '{part}' is not <name>=<value> with a name of {', '.join(SERIES_COLUMNS[1:])} or t; "
                "name it split/weights/name=value/.../metric"
            )
        found[name] = float(value) if name == "t" else value
    if not (split and metric):
        raise ValueError(f"metric '{key}': name it split/metric or split/weights/name=value/.../metric")
    return {"split": split, **found, "metric": metric}
