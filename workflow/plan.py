"""The configuration, read, checked and merged: which runs a tier has, with which settings, in which process.

`load` reads config/<tier>.yaml over the runs declared in config/runs/*.yaml and returns a Plan. A run's
settings are, each over the one before: the system's declared `base`, the tier's `base`, the run's declared
`change`, the tier's `change`. `python -m workflow.plan [config.yaml ...]` prints the plan. Standard library,
PyYAML and jsonschema only: the Snakefile imports this module on every call.
"""

import difflib
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from analysis import catalogue
from models.sources import ROOT

DEFAULT_TIER = "mini"
RESULTS = ("run.yaml", "metrics.parquet", "timing.parquet", "summary.json")
# The cost of a step is affine in the batch size: doubling 8 molecules costs 1.6 times as much, not twice.
STEP_OVERHEAD = 5
# A relaxed step over a plain one, about.
METHOD_COST = {"ES": 2, "RPP": 1.5, "RECM": 2.5, "ACE": 2}


class ConfigError(ValueError):
    """A configuration that cannot be used: one sentence for a person."""


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
        """What a job of a kind (prepare, train, render) asks for: threads, mem_mb, runtime, gpu."""
        return self.config["resources"][kind]

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

    def runs_for(self, output: str) -> list[Run]:
        """Runs that a figure or table is drawn from."""
        return [run for run in self.runs if catalogue.by_name(output).wants(run)]

    def results_for(self, output: str) -> list[str]:
        """The files of those runs that it reads."""
        return [f"{run.folder}/{name}" for run in self.runs_for(output) for name in RESULTS]

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


def merge(*layers: Mapping) -> dict:
    """Later layers over earlier ones: mappings key by key, anything else replaced whole."""
    merged: dict = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            both = isinstance(value, Mapping) and isinstance(old, Mapping)
            merged[key] = merge(old, value) if both else merge(value) if isinstance(value, Mapping) else value
    return merged


def load(overrides: Mapping | None = None, root: Path = ROOT) -> Plan:
    """The plan of the tier that `overrides` names (default mini), with the overrides merged over its file.

    Raises ConfigError at the first key, type, tier or run that cannot be right.
    """
    overrides = overrides or {}
    schema = _read(root / "config" / "schema.yaml")
    tier = overrides.get("tier", DEFAULT_TIER)
    known = tiers(root)
    if tier not in known:
        raise ConfigError(f"There is no tier {tier!r} in config/: choose one of {', '.join(known)}.")
    path = root / "config" / f"{tier}.yaml"
    source = f"config/{tier}.yaml"
    layer = _read(path)
    _check(layer, schema, "tier_file", source)
    if layer["tier"] != tier:
        raise ConfigError(f"{source}: `tier` is {layer['tier']!r}, not the file's own name, {tier!r}.")
    config = merge(layer, overrides)
    _check(config, schema, "tier_file", f"{source} with --configfile and --config")

    runs: list[Run] = []
    files = sorted((root / "config" / "runs").glob("*.yaml"))
    for name in config["runs"]:
        if name not in (known := [path.stem for path in files]):
            hint = _hint(name, known)
            raise ConfigError(f"config/{tier}.yaml: runs.{name} is not a file of config/runs{hint}")
    for path in files:
        if path.stem in config["runs"]:
            runs += _resolve(path, config, schema)
    return Plan(config, tuple(runs))


def tiers(root: Path = ROOT) -> list[str]:
    return sorted(path.stem for path in (root / "config").glob("*.yaml") if path.stem != "schema")


def _resolve(path: Path, config: Mapping, schema: Mapping) -> Iterator[Run]:
    """The runs that one file of config/runs declares, in one tier."""
    declared, source = _read(path), f"config/runs/{path.name}"
    schema = _of_system(declared.get("system"), declared.get("dataset"), schema, source)
    _check(declared, schema, "runs_file", source)
    tier, system, dataset = config["tier"], declared["system"], declared["dataset"]
    if dataset not in config["data"]:
        raise ConfigError(
            f"config/{tier}.yaml: data.{dataset} is missing, which the runs of {path.stem} read."
        )
    overlay = dict(config["runs"][path.stem])
    _check(overlay, schema, "tier_runs", f"config/{tier}.yaml: runs.{path.stem}")
    location = {"data": {"init_args": {"store": store(dataset, tier)}}}
    base = merge(declared["base"], overlay.pop("base", {}), location)
    for name in [*declared["runs"], *(name for name in overlay if name not in declared["runs"])]:
        change = overlay.get(name, {})
        if change is None:
            continue
        parent = change.get("like", name)
        if parent not in declared["runs"]:
            hint = _hint(parent, declared["runs"])
            raise ConfigError(f"config/{tier}.yaml: {parent!r} is not a run that {source} declares{hint}")
        run = declared["runs"][parent] | {key: value for key, value in change.items() if key != "change"}
        settings = merge(base, declared["runs"][parent]["change"], change.get("change", {}))
        missing = next(_missing(schema["$defs"]["settings"], settings, schema), None)
        if missing:
            raise ConfigError(f"{source}: run {name} does not say {missing}; give it in `base` or `change`.")
        for seed in run["seeds"]:
            yield Run(tier, name, system, dataset, run["label"], seed, settings)


def _read(path: Path) -> dict:
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}.") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold keys and values, not {type(content).__name__}.")
    return content


def _of_system(system: object, dataset: object, schema: Mapping, source: str) -> dict:
    """The schema in which "settings" are those of a system, `data` the data set's if the system leaves it open."""
    definitions = schema["$defs"]
    if f"{system}" not in definitions:
        known = [name for name, part in definitions.items() if "trainer" in part.get("properties", {})]
        hint = _hint(system, known)
        raise ConfigError(f"{source}: `system` is {system!r}, which config/schema.yaml does not know{hint}")
    settings = definitions[system]
    if f"{dataset}_batches" in definitions:
        batches = {"data": {"$ref": f"#/$defs/{dataset}_batches"}}
        settings = {**settings, "properties": {**batches, **settings["properties"]}}
    return {**schema, "$defs": {**definitions, "settings": settings}}


def _check(value: Mapping, schema: Mapping, definition: str, source: str) -> None:
    validator = Draft202012Validator({**schema, "$ref": f"#/$defs/{definition}"})
    error = best_match(validator.iter_errors(value))
    if error:
        raise ConfigError(f"{source}: {_sentence(error)}")


def _sentence(error: ValidationError) -> str:
    """A schema violation as a person would say it."""
    where = ".".join(str(part) for part in error.absolute_path)
    rule, wanted, value = error.validator, error.validator_value, error.instance
    if rule == "additionalProperties" and wanted is False:
        known = error.schema.get("properties", {})
        key = next(key for key in value if key not in known)
        return f"{where + '.' if where else ''}{key} is not a known key{_hint(key, known)}"
    if rule == "required":
        key = next(key for key in wanted if key not in value)
        return f"{where + '.' if where else ''}{key} is missing."
    if rule == "type":
        kinds = " or ".join([wanted] if isinstance(wanted, str) else wanted)
        text = isinstance(value, str) and _is_number(value)
        hint = " (YAML reads 1e3 as text, 1.0e+3 as a number)" if text else ""
        return f"{where or 'the whole'} must be of type {kinds}, not {value!r}{hint}."
    if rule == "enum":
        return f"{where} must be one of {', '.join(map(str, wanted))}, not {value!r}."
    return f"{where}: {error.message}."


def _missing(definition: Mapping, value: Mapping, schema: Mapping, prefix: str = "") -> Iterator[str]:
    """Keys of the schema that a resolved run lacks."""
    if "$ref" in definition:
        definition = schema["$defs"][definition["$ref"].rsplit("/", 1)[1]]
    for key, part in definition.get("properties", {}).items():
        if key not in value:
            yield f"{prefix}{key}"
        elif isinstance(value[key], Mapping):
            yield from _missing(part, value[key], schema, f"{prefix}{key}.")


def _hint(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1)
    if close:
        return f": did you mean {close[0]}?"
    return f" (known: {', '.join(known)})."


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


class _Dumper(yaml.SafeDumper):
    """Quotes text that another reader of YAML takes for a number, such as 3e-3."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="'" if _is_number(text) else None
    ),
)


def write_if_changed(path: Path, content: Mapping) -> None:
    """Writes YAML, unless the file already says the same: its date is what a rerun is decided by."""
    text = yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False)
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def write_inputs(plan: Plan) -> None:
    """Writes what jobs read: run.yaml of every run, and the settings of every data set beside its store."""
    for run in plan.runs:
        write_if_changed(Path(run.folder, "run.yaml"), run.resolved())
    for dataset in plan.datasets:
        write_if_changed(Path(plan.store(dataset)).with_suffix(".yaml"), plan.data[dataset])


def main(files: list[str]) -> None:
    try:
        plan = load(merge(*(_read(Path(file)) for file in files)))
    except ConfigError as error:
        sys.exit(str(error))
    print(f"tier {plan.tier}: {len(plan.runs)} runs in {len(plan.groups)} processes")
    for group in plan.groups:
        for run in group.runs:
            shown = [name for name in plan.outputs if catalogue.by_name(name).wants(run)]
            trainer, batch = run.settings["trainer"], run.settings["data"]["init_args"]["batch_size"]
            steps, precision = trainer["max_steps"], trainer["precision"]
            print(
                f"  {group.name:10} {run.name:24} seed {run.seed}  {run.label:10} "
                f"{steps:>7} steps of {batch:>3}  {precision:10}  {' '.join(shown)}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
