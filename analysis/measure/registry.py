"""Every measurement of a trained network: its settings and its module. Light: the Snakefile imports this."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.measure.settings import AttributionSettings, LatentsSettings, RotationsSettings

FOLDER = "measured"
"""Of a run, with a table per measurement."""


@dataclass(frozen=True)
class Measurement:
    """settings: a class of them; its `step`, if it has one, is that whose weights it takes. title: what it does."""

    settings: type
    title: str


MEASUREMENTS = {
    "rotations": Measurement(RotationsSettings, "Errors by number and kind of rotations"),
    "latents": Measurement(LatentsSettings, "Cosines between latents of turned molecules"),
    "attribution": Measurement(AttributionSettings, "Losses without the terms of one relaxed layer"),
}


def module_of(name: str) -> str:
    """The module that makes a measurement."""
    return f"analysis.measure.{name}"


def table_of(name: str) -> str:
    """Its table, below a run's folder."""
    return f"{FOLDER}/{name}.parquet"


def table_in(folder: Path, name: str) -> Path:
    return folder / table_of(name)


def steps_of(asked: Mapping[str, Mapping[str, Any]]) -> list[int]:
    """The steps whose weights measurements take, of their settings by name."""
    return sorted({settings["step"] for settings in asked.values() if settings.get("step") is not None})
