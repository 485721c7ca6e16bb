"""The plan of a tier: which runs it has, with which settings, in which process.

`load` reads config/<tier>.yaml over the runs declared in config/runs/*.yaml and returns a Plan. A run's
settings are, each over the one before: the defaults of the classes of settings, the declared `base`, the tier's
`base`, the run's declared `change`, the tier's `change`. `python -m workflow [config.yaml ...]` prints the plan. No
torch, numpy or h5py: the Snakefile imports this module on every call.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from analysis import catalogue
from analysis.measure import registry
from data.settings import merge
from data.validation import hint
from models.sources import ROOT, training_modules
from models.training.configuration import defaults_of
from workflow.configuration import ConfigError, read, tiers
from workflow.schema import check_changes, check_declaration, check_run, check_tier, measured

DEFAULT_TIER = "mini"
RESULTS = ("run.yaml", "metrics.parquet", "timing.parquet", "summary.json")
# The cost of a step is affine in the batch size: doubling 8 molecules costs 1.6 times as much, not twice.
STEP_OVERHEAD = 5
# A relaxed step over a plain one, about.
METHOD_COST = {"ES": 2, "RPP": 1.5, "RECM": 2.5, "ACE": 2}


@dataclass(frozen=True)
class Run:
    """One training: (tier, name, seed) and its complete settings."""

    tier: str
    name: str
    system: str
    dataset: str
    label: str
    seed: int
    settings: Mapping
    measure: Mapping
    """What is measured of the trained network, and with which settings; no setting of the training."""

    @property
    def folder(self) -> str:
        return f"results/{self.tier}/{self.name}/seed{self.seed}"

    @property
    def cost(self) -> int:
        """Relative training time, for spreading runs over processes."""
        batch_size = self.settings["data"]["init_args"]["batch_size"]
        method = (
            self.settings["model"]["init_args"].get("relaxation", {}).get("class_path", "").split(".")[-1]
        )
        steps = self.settings["trainer"]["max_steps"]
        return round(steps * (batch_size + STEP_OVERHEAD) * METHOD_COST.get(method, 1))

    def resolved(self) -> dict:
        """What run.yaml holds."""
        identity = {key: getattr(self, key) for key in ("tier", "name", "system", "dataset", "label", "seed")}
        return {"run": identity, **self.settings}


@dataclass(frozen=True)
class Group:
    """Runs of one system on one data set that one process trains, one after the other."""

    name: str
    runs: tuple[Run, ...]

    @property
    def system(self) -> str:
        return self.runs[0].system

    @property
    def dataset(self) -> str:
        return self.runs[0].dataset

    @property
    def folders(self) -> list[str]:
        return [run.folder for run in self.runs]


@dataclass(frozen=True)
class Asked:
    """A measurement that a run asks for of its trained network."""

    run: Run
    name: str

    @property
    def settings(self) -> Mapping:
        return self.run.measure[self.name]

    @property
    def modules(self) -> tuple[str, ...]:
        """What it depends on: the command, the measurement, and the classes of the run."""
        command = "analysis.measure.__main__", registry.module_of(self.name)
        return *command, *training_modules(self.run.settings)


@dataclass(frozen=True)
class Plan:
    """A tier, resolved: everything the workflow needs to know."""

    config: Mapping
    runs: tuple[Run, ...]

    @property
    def tier(self) -> str:
        return self.config["tier"]

    @property
    def mirror(self) -> str | None:
        return self.config["mirror"]

    @property
    def data(self) -> Mapping:
        return self.config["data"]

    def resources(self, kind: str) -> Mapping:
        """What a job of a kind (prepare, train, measure, render) asks for: threads, mem_mb, runtime, gpu."""
        resources = self.config["resources"]
        return resources.get(kind) or resources["train"]

    def limits(self, kind: str) -> dict:
        """The same without the threads, which Snakemake takes apart from the rest."""
        return {key: value for key, value in self.resources(kind).items() if key != "threads"}

    @property
    def datasets(self) -> list[str]:
        """Data sets that some run of this tier reads."""
        return sorted({run.dataset for run in self.runs})

    def store(self, dataset: str) -> str:
        return store(dataset, self.tier)

    def raw_files(self, dataset: str) -> list[str]:
        """Raw files that the store is prepared from."""
        return [f"data/{dataset}/raw/{file['name']}" for file in self.data[dataset].get("files", [])]

    def listed(self, dataset: str) -> list[str]:
        """Lists of records that are fetched one by one, by data.<dataset>.entries, rather than in raw files."""
        one_by_one = self.data[dataset].get("source") == "rcsb"
        return [f"data/{dataset}/prepared/{self.tier}.entries.tsv"] if one_by_one else []

    @property
    def outputs(self) -> list[str]:
        """Figures and tables that this tier can show, in the papers' order."""
        return [output.name for output in catalogue.shown(self.runs)]

    @property
    def figures(self) -> list[str]:
        return [output for output in self.outputs if is_figure(output)]

    @property
    def tables(self) -> list[str]:
        return [output for output in self.outputs if not is_figure(output)]

    @cached_property
    def measurements(self) -> dict[str, Asked]:
        """What is measured of trained networks, by the table that it is written to."""
        return {
            f"{run.folder}/{registry.table_of(name)}": Asked(run, name)
            for run in self.runs
            for name in run.measure
        }

    def measured(self, folder: str, measurement: str) -> Asked:
        """A measurement by the run's folder and its name. Raises KeyError."""
        return self.measurements[f"{folder}/{registry.table_of(measurement)}"]

    def runs_for(self, output: str) -> list[Run]:
        """Runs that a figure or table is drawn from."""
        return [run for run in self.runs if catalogue.by_name(output).wants(run)]

    def results_for(self, output: str) -> list[str]:
        """The files of those runs that it reads, tables of what was measured of their networks among them."""
        read, extras = self.runs_for(output), catalogue.by_name(output).extras
        tables = [
            f"{run.folder}/{registry.table_of(name)}"
            for run in read
            for name in extras
            if name in run.measure
        ]
        return [f"{run.folder}/{name}" for run in read for name in RESULTS] + tables

    @cached_property
    def groups(self) -> list[Group]:
        """The runs, spread over processes so that each process has about the same to do."""
        groups = []
        for system, dataset in sorted({(run.system, run.dataset) for run in self.runs}):
            runs = [run for run in self.runs if (run.system, run.dataset) == (system, dataset)]
            groups += spread(f"{system}_{dataset}", runs, self.config["processes"])
        return groups


def is_figure(output: str) -> bool:
    """Whether an output is a figure, e.g. a_fig2 or x1, rather than a table, e.g. a_landmarks."""
    return catalogue.by_name(output).kind == catalogue.FIGURE


def module_of(output: str) -> str:
    """The module that draws or builds an output."""
    return f"analysis.{'figures' if is_figure(output) else 'tables'}.{output}"


def formats(output: str) -> list[str]:
    """The files an output is rendered to, the one that a report shows first."""
    return list(catalogue.by_name(output).files)


def store(dataset: str, tier: str) -> str:
    return f"data/{dataset}/prepared/{tier}.h5"


def spread(name: str, runs: list[Run], processes: int | None) -> list[Group]:
    """Longest run first, each to the process with least to do so far; None: a process per run."""
    bins: list[list[Run]] = [[] for _ in range(min(processes or len(runs), len(runs)))]
    for run in sorted(runs, key=lambda run: (-run.cost, run.name, run.seed)):
        min(bins, key=lambda members: sum(member.cost for member in members)).append(run)
    return [Group(f"{name}_{i}", tuple(members)) for i, members in enumerate(bins)]


def load(overrides: Mapping | None = None, root: Path = ROOT) -> Plan:
    """The plan of the tier that `overrides` names (default mini), with the overrides merged over its file.

    Raises ConfigError at the first key, type, tier or run that cannot be right.
    """
    overrides = overrides or {}
    tier = overrides.get("tier", DEFAULT_TIER)
    known = tiers(root)
    if tier not in known:
        raise ConfigError(f"There is no tier {tier!r} in config/: choose one of {', '.join(known)}.")
    path = root / "config" / f"{tier}.yaml"
    source = f"config/{tier}.yaml"
    layer = read(path)
    check_tier(layer, source)
    if layer["tier"] != tier:
        raise ConfigError(f"{source}: `tier` is {layer['tier']!r}, not the file's own name, {tier!r}.")
    config = merge(layer, overrides)
    check_tier(config, f"{source} with --configfile and --config")

    runs: list[Run] = []
    files = sorted((root / "config" / "runs").glob("*.yaml"))
    for name in config["runs"]:
        if name not in (known := [path.stem for path in files]):
            raise ConfigError(
                f"config/{tier}.yaml: runs.{name} is not a file of config/runs{hint(name, known)}"
            )
    for path in files:
        if path.stem in config["runs"]:
            runs += _resolve(path, config)
    return Plan(config, tuple(runs))


def _resolve(path: Path, config: Mapping) -> Iterator[Run]:
    """The runs that one file of config/runs declares, in one tier."""
    declared, source = read(path), f"config/runs/{path.name}"
    classes = check_declaration(declared, source)
    tier, system, dataset = config["tier"], declared["system"], declared["dataset"]
    if dataset not in config["data"]:
        raise ConfigError(
            f"config/{tier}.yaml: data.{dataset} is missing, which the runs of {path.stem} read."
        )
    overlay = dict(config["runs"][path.stem])
    check_changes(overlay, *classes, f"config/{tier}.yaml: runs.{path.stem}")
    location = {"data": {"init_args": {"store": store(dataset, tier)}}}
    base = merge(defaults_of(*classes), declared["base"], overlay.pop("base", {}), location)
    for name in [*declared["runs"], *(name for name in overlay if name not in declared["runs"])]:
        change = overlay.get(name, {})
        if change is None:
            continue
        parent = change.get("like", name)
        if parent not in declared["runs"]:
            known = hint(parent, declared["runs"])
            raise ConfigError(f"config/{tier}.yaml: {parent!r} is not a run that {source} declares{known}")
        run = declared["runs"][parent] | {key: value for key, value in change.items() if key != "change"}
        settings = merge(base, declared["runs"][parent].get("change", {}), change.get("change", {}))
        measure = measured(settings.pop("measure", {}), f"{source}: run {name}")
        kept = {*settings["trainer"]["snapshots"], *registry.steps_of(measure)}
        settings = merge(settings, {"trainer": {"snapshots": sorted(kept)}})
        check_run(settings, f"{source}: run {name}")
        for seed in run["seeds"]:
            yield Run(tier, name, system, dataset, run["label"], seed, settings, measure)
