"""A run's configuration: files and options merged over the defaults, checked, and built.

    run:      its names and seed                   RunIdentity
    model:    class_path, init_args                a LightningModule; init_args are the fields of its settings
    data:     class_path, init_args                a LightningDataModule; likewise
    trainer:  training length and hardware         Budget
    monitor:  how equivariance is measured         MonitorSettings
    callbacks:  further callbacks of the training, a list of class_path, init_args

Importing this module is fast, and planning checks settings with the same functions as a run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from data.settings import defaults, merge, schema
from data.validation import SettingsError, check, is_number, read
from models.training.class_paths import build, check_arguments, load, settings_of
from models.training.settings import Budget, Component, MonitorSettings, RunIdentity

SECTIONS = {"trainer": Budget, "monitor": MonitorSettings}
COMPONENTS = {"model": "The LightningModule.", "data": "The LightningDataModule."}


class _Loader(yaml.SafeLoader):
    """Refuses a key that a mapping has twice, of which YAML's readers keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            message = f"the key {twice!r} is given twice"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        return super().construct_mapping(node, deep)


def read_file(path: Path) -> dict[str, Any]:
    """A YAML file of keys and values. Raises SettingsError."""
    try:
        content = yaml.load(path.read_text(), _Loader)
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not readable as YAML: {' '.join(str(error).split())}.") from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}.") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: must hold keys and values, not {type(content).__name__}.")
    return content


class _Dumper(yaml.SafeDumper):
    """Quotes text that another reader of YAML takes for a number, such as 3e-3."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="'" if is_number(text) else None
    ),
)


def as_yaml(content: Mapping[str, Any]) -> str:
    """The text of a YAML file, in the order of the keys."""
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False)


def from_options(options: Sequence[str]) -> dict[str, Any]:
    """Configuration from `--config FILE` and `--key.of.it VALUE`, the later over the earlier; values are YAML."""
    config: dict[str, Any] = {}
    left = list(options)
    while left:
        key, given, value = left.pop(0).partition("=")
        if not key.startswith("--") or not (given or left):
            raise SettingsError(
                f"{key}: options are --config FILE and --key VALUE, such as --trainer.max_steps 10."
            )
        value = value if given else left.pop(0)
        layer = read_file(Path(value)) if key == "--config" else _nested(key.removeprefix("--"), value)
        config = merge(config, layer)
    return config


def _nested(key: str, text: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"--{key}: {text!r} is not readable as YAML.") from error
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


def schema_of(model: str, data: str, partial: bool = False) -> dict[str, Any]:
    """The JSON schema of the settings, except `run`, of a run with these classes of model and data.

    partial: nothing is required, for files that set only some values.
    """
    properties: dict[str, Any] = {}
    for name, class_path in (("model", model), ("data", data)):
        properties[name] = {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "class_path": {"type": "string", "description": COMPONENTS[name]},
                "init_args": schema(_settings(name, class_path), partial),
            },
        }
        if not partial:
            properties[name]["required"] = ["class_path", "init_args"]
    properties |= {name: schema(kind, partial) for name, kind in SECTIONS.items()}
    properties["callbacks"] = {
        "type": "array",
        "items": schema(Component),
        "description": "Callbacks of the training, each a lightning.Callback.",
    }
    whole = {"type": "object", "additionalProperties": False, "properties": properties}
    return whole if partial else whole | {"required": list(properties)}


def defaults_of(model: str, data: str) -> dict[str, Any]:
    """The default settings of a run."""
    components = {
        name: {"class_path": class_path, "init_args": defaults(_settings(name, class_path))}
        for name, class_path in (("model", model), ("data", data))
    }
    return components | {name: defaults(kind) for name, kind in SECTIONS.items()} | {"callbacks": []}


def complete(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A checked configuration with every value set. where: begins the sentence of a SettingsError about it."""
    paths = class_paths(config, where)
    whole, settings = schema_of(*paths), merge(defaults_of(*paths), config)
    properties = {"run": schema(RunIdentity)} | whole["properties"]
    check(settings, whole | {"properties": properties, "required": list(properties)}, where)
    check_together(settings, where)
    return {name: settings[name] for name in properties}


def class_paths(config: Mapping[str, Any], where: str) -> tuple[str, str]:
    """The class paths of model and data, of which both classes have settings."""
    for name in COMPONENTS:
        if not isinstance(config.get(name), Mapping) or "class_path" not in config[name]:
            raise SettingsError(f"{where}: {name}.class_path is missing.")
        try:
            _settings(name, config[name]["class_path"])
        except SettingsError as error:
            raise SettingsError(f"{where}: {error}") from error
    return config["model"]["class_path"], config["data"]["class_path"]


def check_together(settings: Mapping[str, Any], where: str) -> None:
    """Raises SettingsError if valid values contradict each other, or a component has an unknown argument."""
    for name in COMPONENTS:
        component = settings[name]
        read(_settings(name, component["class_path"]), component["init_args"], f"{where}: {name}.init_args")
        for path, inner in _components(component["init_args"], f"{name}.init_args"):
            check_arguments(inner["class_path"], inner["init_args"], f"{where}: {path}.init_args")
    for number, callback in enumerate(settings["callbacks"]):
        path, kind = f"{where}: callbacks.{number}", settings_of(callback["class_path"])
        if kind is None:
            check_arguments(callback["class_path"], callback.get("init_args", {}), f"{path}.init_args")
        else:
            read(kind, callback.get("init_args", {}), f"{path}.init_args")
    for name, kind in SECTIONS.items():
        read(kind, settings[name], f"{where}: {name}")


def _components(settings: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every {class_path, init_args} within settings, with its key."""
    if isinstance(settings, Mapping):
        if settings.keys() == {"class_path", "init_args"}:
            yield path, settings
        else:
            for key, part in settings.items():
                yield from _components(part, f"{path}.{key}")


@cache
def _settings(name: str, class_path: str) -> type:
    try:
        kind = settings_of(class_path)
    except SettingsError as error:
        raise SettingsError(f"{name}.class_path: {error}") from error
    if kind is None:
        raise SettingsError(
            f"{name}.class_path: {class_path} has no settings class in its package's settings.py."
        )
    return kind


@dataclass(frozen=True)
class Training:
    """A run, ready to be trained: the arguments of models.training.run.train."""

    run: RunIdentity
    model: Any
    data: Any
    budget: Budget
    callbacks: list[Any]
    config: Mapping[str, Any]


def built(config: Mapping[str, Any]) -> Training:
    """The objects of a complete configuration; torch's random numbers give the initial weights."""
    run, budget = read(RunIdentity, config["run"], "run"), read(Budget, config["trainer"], "trainer")
    from twirl.monitor import EquivarianceMonitor  # here, since it imports torch

    monitor = EquivarianceMonitor(**config["monitor"], seed=run.seed)
    return Training(
        run,
        made(config["model"]),
        made(config["data"], seed=run.seed, steps=budget.max_steps),
        budget,
        [monitor, *(made(callback) for callback in config["callbacks"])],
        config,
    )


def made(component: Mapping[str, Any], **context: Any) -> Any:
    """The object that a component names, built from its settings if its class has some, else from plain arguments.

    context: further arguments.
    """
    class_path, init_args = component["class_path"], component.get("init_args", {})
    kind = settings_of(class_path)
    if kind is None:
        return build(class_path, init_args | context)
    return load(class_path)(read(kind, init_args, f"{class_path}: init_args"), **context)
