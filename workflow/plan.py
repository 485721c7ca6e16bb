"""The plan of a tier: which runs it has, with which settings, what they ask for, and what is drawn from them.

`load` reads config/<tier>.yaml and the runs declared in config/runs/*.yaml and returns a Plan. A run's settings
are, each over the one before: the defaults of the classes of settings, the declared `base`, the tier's `base`, the
run's declared `change`, the tier's `change`; what an overlay says of a tier comes over what the run's file says of it.
`python -m workflow [config.yaml ...]` prints the plan. No torch, numpy or h5py: the Snakefile imports this module on
every call.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis import catalogue
from analysis.measure import registry
from data.settings import merge
from data.validation import SettingsError, hint
from models.sources import ROOT, training_modules
from models.training.configuration import check_together, defaults_of, read_file
from models.training.files import RUN_FILES
from workflow.configuration import tiers
from workflow.origins import out_of_reach
from workflow.schema import check_changes, check_declaration, check_tier, measured

DEFAULT_TIER = "mini"
# The cost of a step is affine in the batch size: doubling 8 molecules costs 1.6 times as much, not twice.
STEP_OVERHEAD = 5
# A thousand samples at the mini tier's sizes, on one core [s]; a system that is not named here counts as 1.
SAMPLES_COST = {"escaip": 10, "proteina": 15, "voxmol": 12, "vn_pointnet": 2.3, "egno": 1.7, "segnn": 0.4}
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
    resources: Mapping
    """What training it asks for: threads, mem_mb, runtime, gpu."""

    @property
    def folder(self) -> str:
        return f"results/{self.tier}/{self.name}/seed{self.seed}"

    @property
    def kind(self) -> tuple[str, str]:
        """What figures show together."""
        return self.system, self.dataset

    @property
    def store(self) -> str:
        return store(self.dataset, self.tier)

    @property
    def generator(self) -> str:
        """The module that generates from it once it is trained, where its system has one."""
        return f"models.{self.system}.generate"

    @property
    def sources(self) -> tuple[str, ...]:
        """The modules that training it depends on."""
        return training_modules(self.settings)

    @property
    def cost(self) -> float:
        """Training time, about [s of one core at the mini tier's sizes]; short runs come first."""
        batch_size = self.settings["data"]["init_args"]["batch_size"]
        method = (
            self.settings["model"]["init_args"].get("relaxation", {}).get("class_path", "").split(".")[-1]
        )
        steps = self.settings["trainer"]["max_steps"]
        samples = 1e-3 * steps * (batch_size + STEP_OVERHEAD)
        return samples * SAMPLES_COST.get(self.system, 1) * METHOD_COST.get(method, 1)

    def resolved(self) -> dict:
        """What run.yaml holds."""
        identity = {key: getattr(self, key) for key in ("tier", "name", "system", "dataset", "label", "seed")}
        return {"run": identity, **self.settings}


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
        return "analysis.measure.__main__", registry.module_of(self.name), *self.run.sources


@dataclass(frozen=True)
class Plan:
    """A tier, resolved: everything the workflow needs to know.

    left_out: a sentence for each data set that cannot be had here, and what is missing without it.
    """

    config: Mapping
    runs: tuple[Run, ...]

    left_out: tuple[str, ...] = ()

    @property
    def tier(self) -> str:
        return folder_of(self.config)

    @property
    def mirror(self) -> str | None:
        return self.config["mirror"]

    @property
    def data(self) -> Mapping:
        return self.config["data"]

    def run(self, name: str, seed: int | str) -> Run:
        """One of the runs. Raises KeyError."""
        return self._runs[name, int(seed)]

    @cached_property
    def _runs(self) -> Mapping[tuple[str, int], Run]:
        return {(run.name, run.seed): run for run in self.runs}

    @property
    def names(self) -> list[str]:
        """The names of the runs."""
        return sorted({run.name for run in self.runs})

    @property
    def generating(self) -> list[str]:
        """The names of runs of systems that generate."""
        found = (run for run in self.runs if (ROOT / "models" / run.system / "generate.py").is_file())
        return sorted({run.name for run in found})

    def resources(self, kind: str) -> Mapping:
        """What a job of a kind (prepare, train, render) asks for: threads, mem_mb, runtime, gpu."""
        return self.config["resources"][kind]

    def limits(self, kind: str) -> dict:
        """The same without the threads, which Snakemake takes apart from the rest."""
        return {key: value for key, value in self.resources(kind).items() if key != "threads"}

    def asked_by(self, wildcards: Any, key: str) -> int:
        """The same of the run that a rule's wildcards name: one of threads, mem_mb, runtime, gpu."""
        return self.run(wildcards.run, wildcards.seed).resources[key]

    def priority(self, run: Run) -> float:
        """Runs of what takes least in all come first, so that their figures do; of these the longest first."""
        total = sum(other.cost for other in self.runs if other.kind == run.kind)
        return run.cost / total - total

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

    def measured(self, run: str, seed: int | str, measurement: str) -> Asked:
        """One of them. Raises KeyError."""
        folder = self.run(run, seed).folder
        return self.measurements[f"{folder}/{registry.table_of(measurement)}"]

    def runs_for(self, output: str) -> list[Run]:
        """Runs that a figure or table is drawn from."""
        return [run for run in self.runs if catalogue.by_name(output).wants(run)]

    def folders_for(self, output: str) -> list[str]:
        """Their folders."""
        return [run.folder for run in self.runs_for(output)]

    def drawn_by(self, output: str) -> tuple[str, ...]:
        """The modules that drawing a figure or table depends on."""
        return "analysis.render", catalogue.by_name(output).module

    def results_for(self, output: str) -> list[str]:
        """The files of those runs that it reads, tables of what was measured of their networks among them."""
        read, extras = self.runs_for(output), catalogue.by_name(output).extras
        tables = [
            f"{run.folder}/{registry.table_of(name)}"
            for run in read
            for name in extras
            if name in run.measure
        ]
        return [f"{run.folder}/{name}" for run in read for name in RUN_FILES] + tables


def _follows(config: Mapping, asked: Mapping, dataset: str) -> dict:
    """Settings that follow from a tier and what a run's training asks for: the store, no GPU where none is asked for,
    and when to stop and be retried."""
    before = config.get("stop_before")
    trainer = {} if asked["gpu"] else {"accelerator": "cpu"}
    if before is not None:
        hours, minutes = divmod(asked["runtime"] - before, 60)
        trainer["max_time"] = f"{hours // 24:02}:{hours % 24:02}:{minutes:02}:00"
    return {"data": {"init_args": {"store": store(dataset, folder_of(config))}}, "trainer": trainer}


def is_figure(output: str) -> bool:
    """Whether an output is a figure, e.g. a_fig2 or x1, rather than a table, e.g. a_landmarks."""
    return catalogue.by_name(output).kind == catalogue.FIGURE


def store(dataset: str, tier: str) -> str:
    return f"data/{dataset}/prepared/{tier}.h5"


def load(overrides: Mapping | None = None, root: Path = ROOT) -> Plan:
    """The plan of the tier that `overrides` names (default mini), with the overrides merged over its file.

    Raises SettingsError at the first key, type, tier or run that cannot be right.
    """
    overrides = overrides or {}
    tier = overrides.get("tier", DEFAULT_TIER)
    known = tiers(root)
    if tier not in known:
        raise SettingsError(f"There is no tier {tier!r} in config/: choose one of {', '.join(known)}.")
    path = root / "config" / f"{tier}.yaml"
    source = f"config/{tier}.yaml"
    layer = read_file(path)
    check_tier(layer, source)
    if layer["tier"] != tier:
        raise SettingsError(f"{source}: `tier` is {layer['tier']!r}, not the file's own name, {tier!r}.")
    config = merge(layer, overrides)
    check_tier(config, f"{source} with --configfile and --config")

    files = {path.stem: path for path in sorted((root / "config" / "runs").glob("*.yaml"))}
    for name in _given(config):
        if name not in files:
            raise SettingsError(f"{source}: runs.{name} is not a file of config/runs{hint(name, files)}")
    runs = tuple(run for path in files.values() for run in _resolve(path, config, known))
    _check_folders(runs)
    unknown = {dataset: files for dataset in config["data"] if (files := out_of_reach(config, dataset, root))}
    had = tuple(run for run in runs if run.dataset not in unknown)
    return Plan(config, had, tuple(_left_out(runs, had, unknown)))


def folder_of(config: Mapping) -> str:
    """The tier with its variants: what folders are called, so that no two of them share one."""
    return "-".join([config["tier"], *sorted(config.get("variant", {}))])


def _given(config: Mapping) -> Mapping:
    """Changes to declared runs, by the file that declares them, that the tier's file and overlays give."""
    return config.get("runs", {}) if config.get("instead") is None else config["instead"]


def _changes(declared: Mapping, name: str, config: Mapping) -> dict | None:
    """What the runs of a file are in a tier: as the file says, then as overlays do. None: they are not in it."""
    own = declared.get("tiers", {}).get(config["tier"]) if config.get("instead") is None else None
    given = _given(config).get(name)
    return None if own is None and given is None else merge(own or {}, given or {})


def _check_folders(runs: Sequence[Run]) -> None:
    """Raises SettingsError where two runs would be written to one folder."""
    first: dict[str, Run] = {}
    for run in runs:
        if (other := first.setdefault(run.folder, run)) is not run:
            raise SettingsError(
                f"config/runs: two runs are called {run.name}, of {other.system} and of {run.system}; rename one."
            )


def _resolve(path: Path, config: Mapping, known: Sequence[str]) -> Iterator[Run]:
    """The runs that one file of config/runs declares, in one tier. known: all tiers."""
    declared, source = read_file(path), f"config/runs/{path.name}"
    classes = check_declaration(declared, source)
    for name in declared.get("tiers", {}):
        if name not in known:
            raise SettingsError(f"{source}: tiers.{name} is not a tier of config/{hint(name, known)}")
    tier, system, dataset = config["tier"], declared["system"], declared["dataset"]
    if (overlay := _changes(declared, path.stem, config)) is None:
        return
    if dataset not in config["data"]:
        raise SettingsError(
            f"config/{tier}.yaml: data.{dataset} is missing, which the runs of {path.stem} read."
        )
    check_changes(overlay, *classes, f"config/{tier}.yaml: runs.{path.stem}")
    base = merge(defaults_of(*classes), declared["base"], overlay.pop("base", {}))
    asked_by_all = merge(config["resources"]["train"], overlay.pop("resources", {}))
    for name in [*declared["runs"], *(name for name in overlay if name not in declared["runs"])]:
        change = overlay.get(name, {})
        if change is None:
            continue
        parent = change.get("like", name)
        if parent not in declared["runs"]:
            close = hint(parent, declared["runs"])
            raise SettingsError(f"config/{tier}.yaml: {parent!r} is not a run that {source} declares{close}")
        run = declared["runs"][parent] | {key: value for key, value in change.items() if key != "change"}
        asked = merge(asked_by_all, change.get("resources", {}))
        follows = _follows(config, asked, dataset)
        settings = merge(base, follows, declared["runs"][parent].get("change", {}), change.get("change", {}))
        measure = measured(settings.pop("measure", {}), f"{source}: run {name}")
        kept = {*settings["trainer"]["snapshots"], *registry.steps_of(measure)}
        settings = merge(settings, {"trainer": {"snapshots": sorted(kept)}})
        check_together(settings, f"{source}: run {name}")
        for seed in run["seeds"]:
            yield Run(folder_of(config), name, system, dataset, run["label"], seed, settings, measure, asked)


def _left_out(runs: Sequence[Run], had: Sequence[Run], unknown: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What a tier cannot show here, in a sentence for each data set that is out of reach."""
    shown = {output.name for output in catalogue.shown(had)}
    for dataset, files in unknown.items():
        lost = [run for run in runs if run.dataset == dataset]
        fed = [output for output in catalogue.shown(runs) if any(map(output.wants, lost))]
        missing = [output.name for output in fed if output.name not in shown]
        fewer = [output.name for output in fed if output.name in shown]
        if lost:
            yield (
                f"data/{dataset}/raw lacks {' and '.join(files)}, which no public origin has "
                f"(data/{dataset}/README.md): {len(lost)} runs are left out"
                + (f", and with them {', '.join(missing)}" if missing else "")
                + (f"; {', '.join(fewer)} show fewer runs" if fewer else "")
                + "."
            )
