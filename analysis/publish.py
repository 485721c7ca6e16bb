"""Keeps the small files of a finished tier in the repository: `python -m analysis.publish --tier subset`.

results/<tier> and figures/<tier> are not committed; results/published/<tier> and figures/published/<tier> are. A
published run can be drawn again: its folder is a run folder without checkpoints. `--redraw` draws all published outputs
of a tier from its published runs.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from analysis import catalogue
from analysis.measure.registry import MEASUREMENTS, table_in
from analysis.metrics import write_metrics
from analysis.render import render
from analysis.results import ResultsError, load_runs
from models.training.files import RUN_FILES

ENDINGS = (".png", ".rst", ".json", ".md")
"""What is kept of an output; the numbers in it are drawn again from its runs."""


def publish(tier: str, root: Path) -> list[Path]:
    """Copies every run and output of `tier` below `root`, in place of what was published before.

    Returns the copies. Raises FileNotFoundError naming what is missing.
    """
    runs = sorted(path.parent for path in Path(root, "results", tier).glob("*/seed*/summary.json"))
    if not runs:
        raise FileNotFoundError(
            f"{root / 'results' / tier} holds no finished run: run snakemake for this tier first"
        )
    chosen = [run / name for run in runs for name in RUN_FILES]
    chosen += [path for run in runs for name in MEASUREMENTS if (path := table_in(run, name)).exists()]
    figures = Path(root, "figures", tier)
    names = [f"{output.name}{ending}" for output in catalogue.OUTPUTS for ending in ENDINGS]
    chosen += [path for name in (*names, "metrics.json") if (path := figures / name).exists()]
    missing = [str(path) for path in chosen if not path.exists()]
    if missing:
        raise FileNotFoundError(f"not published, since these are missing: {', '.join(missing)}")
    for kind in ("results", "figures"):
        shutil.rmtree(Path(root, kind, "published", tier), ignore_errors=True)
    copies = []
    for path in chosen:
        kind, *rest = path.relative_to(root).parts
        copy = Path(root, kind, "published", *rest)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copies.append(Path(shutil.copyfile(path, copy)))
    return copies


def redraw(tier: str, root: Path) -> list[Path]:
    """Draws every output that the published runs of `tier` can show, and keeps what is published of each.

    Returns the files. Raises ResultsError, and then leaves the published outputs as they are.
    """
    published = Path(root, "figures", "published", tier)
    folders = sorted(
        path.parent for path in Path(root, "results", "published", tier).glob("*/seed*/run.yaml")
    )
    results = load_runs(folders, tier)
    with TemporaryDirectory(dir=published.parent) as drawing:
        for output in catalogue.shown(results.runs):
            runs = [run.folder for run in results.runs if output.wants(run)]
            words = [output.name, "--tier", tier, "--out", published.relative_to(root).as_posix(), "--runs"]
            words += [run.relative_to(root).as_posix() for run in runs]
            render(output.name, tier, Path(drawing), runs, ["python", "-m", "analysis.render", *words])
        write_metrics(results, Path(drawing))
        shutil.rmtree(published, ignore_errors=True)
        published.mkdir()
        kept = [path for path in sorted(Path(drawing).iterdir()) if path.suffix in ENDINGS]
        return [Path(shutil.move(path, published / path.name)) for path in kept]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m analysis.publish", description=__doc__.splitlines()[0])
    parser.add_argument("--tier", required=True)
    parser.add_argument("--redraw", action="store_true", help="only draw what is published already again")
    given = parser.parse_args(arguments)
    try:
        copies = (redraw if given.redraw else publish)(given.tier, Path())
    except (FileNotFoundError, ResultsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"{len(copies)} files, {sum(path.stat().st_size for path in copies) / 2**20:.1f} MiB", file=sys.stderr
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
