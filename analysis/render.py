"""Render one figure or table from run folders.

    python -m analysis.render a_fig2 --tier mini --out figures/mini --runs results/mini/escaip-default/seed0

writes <out>/a_fig2.pdf .png .csv .json .rst for a figure, .csv .md .html .json .rst for a table. All
appear by rename when complete; the same inputs, commit and command give the same bytes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from analysis import catalogue
from analysis.reference.paper_curves import ROOT, open_paper_curves
from analysis.results import ResultsError, load_runs
from data.files import replacing


def render(
    output: str, tier: str, out: Path, folders: Sequence[Path | str], command: Sequence[str]
) -> list[Path]:
    """Draw `output` and write all its files; returns their paths. Raises ResultsError."""
    from analysis.captions import ending
    from analysis.draw import style
    from analysis.provenance import file_metadata, provenance

    row = _row(output)
    module = importlib.import_module(row.module)
    results = load_runs(folders, tier).where(row.wants)
    results.require(row.required, output)
    if not results.runs:
        raise ResultsError(
            f"{output}: none of its runs was given for tier {tier}; train {row.runs[0]} or another."
        )
    paper = open_paper_curves()
    script = Path(module.__file__).relative_to(ROOT).as_posix()
    about = provenance(output, script, results, list(command))
    metadata = file_metadata(about, row.title)

    writers: dict[str, Callable[[Path], object]] = {}
    with style.applied():
        drawn = results
        if row.kind == catalogue.FIGURE:
            drawing = module.draw(results, paper)
            caption, about["width"] = drawing.caption, float(drawing.figure.get_figwidth())
            drawn = drawing.shown or results
            # Matplotlib takes the format from the name, and temporary names have another ending.
            writers[".pdf"] = lambda path: style.save(drawing.figure, path, "pdf", metadata)
            writers[".png"] = lambda path: style.save(drawing.figure, path, "png", metadata)
            writers[".csv"] = lambda path: drawing.points.to_csv(path, index=False, float_format="%.6g")
        else:
            table = module.build(results, paper)
            caption = table.caption
            writers[".csv"] = lambda path: table.frame.to_csv(path, index=False, float_format="%.6g")
            writers[".md"] = lambda path: path.write_text(table.markdown)
            writers[".html"] = lambda path: path.write_text(table.html)
        paragraphs = [caption.text, ending(row, results, drawn)]
        about["paper_curves"] = paper.digest()
        facts = {"title": row.title, "caption": paragraphs, "notes": list(caption.notes), **about}
        text = [f"**{row.title}**", *paragraphs, *caption.notes]
        writers[".rst"] = lambda path: path.write_text("\n\n".join(text) + "\n")
        writers[".json"] = lambda path: path.write_text(
            json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
        )
        written = []
        for suffix, write in writers.items():
            with replacing(out / f"{output}{suffix}") as temporary:
                write(temporary)
            written.append(out / f"{output}{suffix}")
    return written


def _row(output: str) -> catalogue.Output:
    """The output's row of the catalogue."""
    try:
        return catalogue.by_name(output)
    except KeyError:
        known = ", ".join(row.name for row in catalogue.OUTPUTS)
        raise ResultsError(f"there is no figure or table {output!r}; there are {known}.") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; problems with the results are one sentence and exit code 1."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.render", description="Render one figure or table."
    )
    parser.add_argument("output", help=f"one of: {', '.join(row.name for row in catalogue.OUTPUTS)}")
    parser.add_argument("--tier", required=True, help="tier of the runs, e.g. mini")
    parser.add_argument("--out", required=True, type=Path, help="folder to write to, e.g. figures/mini")
    parser.add_argument(
        "--runs", required=True, nargs="+", type=Path, help="run folders, results/<tier>/<run>/seed<k>"
    )
    given = parser.parse_args(arguments)
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = ["python", "-m", "analysis.render", *words]
    try:
        for path in render(given.output, given.tier, given.out, given.runs, command):
            print(path)
    except ResultsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
