"""What a configuration's files may say: classes of settings, and what of a file is wrong in a sentence."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from analysis.measure.registry import MEASUREMENTS
from data.settings import Count, Seed, of_dataset, plain, schema, settings
from data.validation import SettingsError, check, hint, read
from models.sources import ROOT
from models.training.configuration import class_paths, schema_of

NAME = "^[a-z][A-Za-z0-9.-]*$"


@settings
class Resources:
    """What one job asks of the machine or the cluster."""

    threads: PositiveInt
    """CPU cores of the job; also its number of numerical threads."""
    mem_mb: PositiveInt
    """Memory [MB]."""
    runtime: PositiveInt
    """Time limit [minutes]."""
    gpu: Count
    """GPUs."""


@settings
class Jobs:
    """What one job of each kind asks of the machine or the cluster."""

    prepare: Resources
    """Preparing a data set."""
    train: Resources
    """Training a run."""
    render: Resources
    """Drawing a figure or building a table."""


@settings
class Tier:
    """The size at which everything is run: config/<tier>.yaml, --configfile and --config."""

    tier: str
    """The name of this file, and of the folders under results/ and figures/."""
    mirror: str | None
    """Where raw files are taken from before their origin, for sites without internet: the name of a DVC remote, or a
    folder laid out like one (files/md5/ab/cdef...). null: only the configured DVC remotes, then the origin."""
    data: dict[str, dict[str, Any]]
    """How each data set is made. One store per tier, data/<dataset>/prepared/<tier>.h5."""
    start: Literal["warm", "cold"]
    """warm: trainings are forked from one process that has imported everything, which saves seconds each. cold: each
    imports for itself, as on several devices."""
    stop_before: PositiveInt | None = None
    """Before its time limit a training saves, stops and is retried [minutes]; null: it does not."""
    resources: Jobs
    """What one job of each kind asks of the machine or the cluster."""
    variant: dict[str, str] = field(default_factory=dict)
    """What overlays make of the tier, by the name that its folders then end in: results/<tier>-<name>/."""
    instead: dict[str, dict[str, Any]] | None = None
    """Of overlays: the same as `runs`, in place of all that the files of config/runs say of this tier."""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Changes over those that the files of config/runs say of this tier, by the name of the file, in the same form."""


Seeds = Annotated[tuple[Seed, ...], Field(min_length=1, json_schema_extra={"uniqueItems": True})]


@settings
class DeclaredRun:
    """A run in a file of config/runs. Its name is also its folder under results/<tier>/."""

    label: str
    """What figures and tables call the run; tells the value that this tier really uses."""
    seeds: Seeds
    """One training per seed; a seed fixes the initial weights, the order of the data and the monitor's rotations."""
    change: dict[str, Any] = field(default_factory=dict)
    """What this run sets differently from `base`."""


@settings
class ChangedRun(DeclaredRun):
    """A run in a tier; null leaves it out."""

    like: str
    """Makes a run that is not declared: a copy of this declared run, then changed."""
    change: dict[str, Any] = field(default_factory=dict)
    """Merged over the declared `change`."""
    resources: dict[str, int] = field(default_factory=dict)
    """What training it asks for, where it is not what the trainings of the tier, or of this file, ask for."""


@settings
class Declaration:
    """A file of config/runs: the runs of one system on one data set, at the paper's settings."""

    system: str
    """The folder under models/ that holds the network and the task."""
    dataset: str
    """The folder under data/ that prepares the store."""
    base: dict[str, Any]
    """Settings that every run starts from, where they are not the defaults of their classes."""
    runs: dict[str, Any]
    """Runs by name."""
    tiers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """In which tiers the runs are, and what is different there: `base` changes every run of the file, `resources` is
    what their trainings ask for instead of the tier's, any other key is the name of a run."""


def check_tier(value: Mapping, source: str) -> None:
    """Raises SettingsError, in a sentence that begins with `source`, unless a tier may say this."""
    known = sorted(path.parent.name for path in (ROOT / "data").glob("*/settings.py"))
    data = value.get("data") if isinstance(value.get("data"), Mapping) else {}
    for dataset in data:
        if dataset not in known:
            raise SettingsError(f"{source}: data.{dataset} is not a known key{hint(dataset, known)}")
    blocks = {dataset: schema(of_dataset(dataset)) for dataset in data}
    check(value, _with(schema(Tier), data=_mapping(blocks)), source)


def check_declaration(value: Mapping, source: str) -> tuple[str, str]:
    """Raises SettingsError unless a file of config/runs may say this; returns the class paths of model and data."""
    check(value, schema(Declaration), source)
    systems = sorted(path.parent.name for path in (ROOT / "models").glob("*/settings.py"))
    if value["system"] not in systems:
        raise SettingsError(
            f"{source}: system {value['system']!r} is not a folder of models/{hint(value['system'], systems)}"
        )
    model, data = class_paths(value["base"], f"{source}: base")
    run = _with(schema(DeclaredRun), change=_changes(model, data))
    named = {"type": "object", "propertyNames": {"pattern": NAME}, "additionalProperties": run}
    check(value, _with(schema(Declaration), base=run["properties"]["change"], runs=named), source)
    for tier, changes in value.get("tiers", {}).items():
        check_changes(changes, model, data, f"{source}: tiers.{tier}")
    return model, data


def check_changes(value: Mapping, model: str, data: str, source: str) -> None:
    """Raises SettingsError unless a tier may say this of the runs of one file; model, data: their class paths."""
    settings_schema, asked = _changes(model, data), schema(Resources, partial=True)
    run = _with(schema(ChangedRun, partial=True), change=settings_schema, resources=asked)
    run = {**run, "type": ["object", "null"]}
    of_all = _mapping({"base": settings_schema, "resources": asked})
    check(value, {**of_all, "additionalProperties": run}, source)


def measured(asked: Mapping, source: str) -> dict[str, dict]:
    """All settings of what is measured of a trained network, by measurement, of what a run says of them.

    A measurement that is null is left out. Raises SettingsError where fields do not go together.
    """
    return {
        name: plain(read(MEASUREMENTS[name].settings, given, f"{source}: measure.{name}"))
        for name, given in asked.items()
        if given is not None
    }


def _changes(model: str, data: str) -> dict:
    """What a layer of settings may say: of the training, and of what is measured of the trained network."""
    training = schema_of(model, data, partial=True)
    of = {name: schema(each.settings, partial=True) for name, each in MEASUREMENTS.items()}
    asked = {name: {**part, "type": ["object", "null"]} for name, part in of.items()}
    return {**training, "properties": {**training["properties"], "measure": _mapping(asked)}}


def _with(whole: Mapping, **parts: Mapping) -> dict:
    """A schema with some of its properties replaced."""
    return {**whole, "properties": {**whole["properties"], **parts}}


def _mapping(properties: Mapping) -> dict:
    return {"type": "object", "additionalProperties": False, "properties": properties}
