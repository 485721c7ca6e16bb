"""The tiers of config/."""

from pathlib import Path

from models.sources import ROOT


def tiers(root: Path = ROOT) -> list[str]:
    """The names that config/ has a file for."""
    return sorted(path.stem for path in (root / "config").glob("*.yaml"))
