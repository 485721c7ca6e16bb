"""Which raw files can be had: decided from their pointers, without a network."""

from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path

import yaml


def out_of_reach(config: Mapping, dataset: str, root: Path) -> list[str]:
    """Raw files of a data set that are not here, have no public origin and are in no mirror.

    A mirror that is a folder is looked into; DVC remotes, as a mirror or configured, are taken to have everything.
    """
    if _has_remotes(root / ".dvc"):
        return []
    raw = root / "data" / dataset / "raw"
    names = [file["name"] for file in config["data"][dataset].get("files", [])]
    return [
        name
        for name in names
        if not (raw / name).exists() and not _has(raw / f"{name}.dvc", config["mirror"])
    ]


def _has(pointer: Path, mirror: str | None) -> bool:
    """Whether the pointer's file has an origin or a mirror. Without a pointer the fetch says what is wrong."""
    if not pointer.is_file():
        return True
    content = yaml.safe_load(pointer.read_text())
    if content.get("deps"):
        return True
    md5 = content["outs"][0].get("md5")
    if mirror is None or md5 is None:
        return False
    folder = Path(mirror).expanduser()
    return not folder.is_dir() or (folder / "files" / "md5" / md5[:2] / md5[2:]).is_file()


def _has_remotes(folder: Path) -> bool:
    """Whether DVC is configured to ask any remote."""
    parser = ConfigParser(strict=False)
    parser.read([folder / "config", folder / "config.local"])
    return any(section.strip("'").startswith("remote ") for section in parser.sections())
