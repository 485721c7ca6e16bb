"""YAML files of the configuration: read, merged and written as text."""

import math
from collections.abc import Mapping
from pathlib import Path

import yaml

from models.sources import ROOT


class ConfigError(ValueError):
    """A configuration that cannot be used: one sentence for a person."""


def read(path: Path) -> dict:
    """A YAML file of keys and values. Raises ConfigError."""
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}.") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold keys and values, not {type(content).__name__}.")
    return content


def tiers(root: Path = ROOT) -> list[str]:
    """The names that config/ has a file for."""
    return sorted(path.stem for path in (root / "config").glob("*.yaml"))


class _Dumper(yaml.SafeDumper):
    """Quotes text that another reader of YAML takes for a number, such as 3e-3."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="'" if is_number(text) else None
    ),
)


def is_number(text: str) -> bool:
    """Whether a text is a number for some reader of YAML."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def text(content: Mapping) -> str:
    """YAML in the order of the keys."""
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False)
