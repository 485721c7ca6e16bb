"""Classes by name: their settings, their arguments, and the classes themselves.

Only names in models and twirl are accepted. The arguments of a class are read from its source file, so that planning
does not import torch.
"""

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import Any

from data.validation import SettingsError, hint
from models.sources import ROOT

PACKAGES = ("models", "twirl")


def settings_of(class_path: str) -> type | None:
    """The settings class of a class, or None if it takes plain arguments.

    The settings of `models.<system>.<module>.Name` are `models.<system>.settings.NameSettings`, those of
    `models.datasets.<dataset>.Name` are `data.<dataset>.settings.NameSettings`. Raises SettingsError where there is no
    such class.
    """
    _definition(class_path)
    module, _, name = class_path.rpartition(".")
    package, _, last = module.rpartition(".")
    home = f"data.{last}" if package == "models.datasets" else package
    if not (ROOT / home.replace(".", "/") / "settings.py").is_file():
        return None
    return getattr(importlib.import_module(f"{home}.settings"), f"{name}Settings", None)


@cache
def arguments_of(class_path: str) -> tuple[str, ...]:
    """Names of a class's arguments, including those that it passes on to base classes in our packages."""
    definition, known = _definition(class_path)
    own = next((part for part in definition.body if getattr(part, "name", "") == "__init__"), None)
    inherited = [
        name
        for base in definition.bases
        if isinstance(base, ast.Name) and known.get(base.id, "").split(".")[0] in PACKAGES
        for name in arguments_of(known[base.id])
    ]
    if own is None:
        return tuple(inherited)
    names = [argument.arg for argument in [*own.args.args, *own.args.kwonlyargs] if argument.arg != "self"]
    handed_on = inherited if own.args.kwarg is not None else []
    return (*names, *(name for name in handed_on if name not in names))


def check_arguments(class_path: str, given: dict[str, Any], where: str) -> None:
    """Raises SettingsError for an argument that a class does not take. where: begins the sentence."""
    known = arguments_of(class_path)
    for name in given:
        if name not in known:
            raise SettingsError(f"{where}.{name}: {class_path} has no such argument{hint(name, known)}")


def load(class_path: str) -> Any:
    """The class, or other object of a module, with this name."""
    module, _, name = class_path.rpartition(".")
    if module.split(".")[0] not in PACKAGES:
        raise SettingsError(f"{class_path} is not a name in {' or '.join(PACKAGES)}.")
    return getattr(importlib.import_module(module), name)


def build(class_path: str, init_args: dict[str, Any]) -> Any:
    """An object of a class that takes plain arguments. A string that names an object of our packages becomes it."""
    check_arguments(class_path, init_args, "init_args")
    return load(class_path)(**{name: _value(given) for name, given in init_args.items()})


def _value(given: Any) -> Any:
    if isinstance(given, str) and given.split(".")[0] in PACKAGES and "." in given:
        return load(given)
    return tuple(given) if isinstance(given, list) else given


def _definition(class_path: str) -> tuple[ast.ClassDef, dict[str, str]]:
    """The syntax tree of a class, and the class paths of all names that its file defines or imports."""
    module, _, name = str(class_path).rpartition(".")
    if module.split(".")[0] not in PACKAGES:
        raise SettingsError(f"{class_path} is not a class in {' or '.join(PACKAGES)}.")
    classes, imported = _names(module)
    if name in imported:
        return _definition(imported[name])
    if name not in classes:
        raise SettingsError(f"{module} has no class {name}{hint(name, [*classes, *imported])}")
    return classes[name], imported | {other: f"{module}.{other}" for other in classes}


def _file(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise SettingsError(f"There is no module {module}.")


@cache
def _names(module: str) -> tuple[dict[str, ast.ClassDef], dict[str, str]]:
    """The classes that a module defines, and the class paths of what it imports, by name.

    A package that imports on first use maps names to its modules in `_HOME`.
    """
    body = ast.parse(_file(module).read_text()).body
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    for node in body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_HOME":
            for home, names in ast.literal_eval(node.value).items():
                imported |= {name: f"{module}.{home}.{name}" for name in names.split()}
    return {node.name: node for node in body if isinstance(node, ast.ClassDef)}, imported
