"""YAML files of the configuration."""

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
