"""The page that shows every figure and table of a tier, each with its caption and where it came from.

    python -m analysis.gallery --figures figures/mini

writes <figures>/index.html. With --published figures/published/mini it shows what was published where nothing is
rendered yet, and says so; otherwise the page needs nothing but the files beside it.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import catalogue
from analysis.catalogue import Output
from analysis.reference.paper_curves import ROOT
from analysis.results import ResultsError
from data.files import replacing

CSS = """
:root { --ink: #1d1d1f; --soft: #6b6b70; --line: #e3e3e6; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 3rem 1.5rem 5rem; color: var(--ink); background: #fff;
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; font-weight: 600; letter-spacing: -0.01em; margin: 0 0 0.4rem; }
h2 { font-size: 1.35rem; font-weight: 600; margin: 3rem 0 1rem; }
h2 span + span { color: var(--soft); font-weight: 400; font-size: 1rem; margin-left: 0.8rem; }
h3 { font-size: 1.2rem; font-weight: 600; margin: 0 0 1rem; }
h3 small { color: var(--soft); font: 0.8rem ui-monospace, Menlo, Consolas, monospace; margin-left: 0.5rem; }
h3 em { color: #b00020; font-size: 0.85rem; margin-left: 0.7rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
.lead, nav { color: var(--soft); margin: 0 0 1.2rem; }
nav { margin: 0 0 0.4rem; }
nav b { color: var(--ink); font-weight: 600; margin-right: 1.1rem; }
nav a { margin-right: 1.1rem; white-space: nowrap; }
section { border-top: 1px solid var(--line); padding: 2.2rem 0 1rem; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto 1rem; }
img.narrow { max-width: 34rem; }
p { margin: 0 0 0.7rem; }
.caption { font-size: 0.92rem; max-width: 50rem; }
.links { font-size: 0.9rem; margin: 1rem 0 0.5rem; }
.links a { margin-right: 1rem; }
details { font-size: 0.82rem; color: var(--soft); margin-bottom: 1rem; }
summary { cursor: pointer; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1rem; margin: 0.6rem 0; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; font: 0.76rem/1.5 ui-monospace, Menlo, Consolas, monospace; }
.scroll { overflow-x: auto; margin-bottom: 1rem; }
.scroll p { margin: 0.5rem 0 0; font-size: 0.74rem; color: var(--soft); }
table { border-collapse: collapse; font-size: 0.74rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.22rem 0.55rem; text-align: right; white-space: nowrap; font-weight: 400; }
thead th { white-space: normal; vertical-align: bottom; font-weight: 600; }
thead { border-bottom: 1px solid var(--ink); }
tbody th { text-align: left; }
tr.first > * { border-top: 1px solid var(--line); }
tr.first > th:first-child, tr[data-whose="ours"].first > * { font-weight: 600; }
tr.block > th { font-weight: 600; padding-top: 0.9rem; }
tr[data-whose="paper"], tr[data-whose="difference"] { color: var(--soft); }
"""


PAPERS = {
    "A": ("Paper A", "Training Dynamics of Learning 3D-Rotational Equivariance"),
    "B": ("Paper B", "Recurrent Equivariant Constraint Modulation"),
    None: ("Beyond both", "one paper's measure on the other's methods"),
}
"""Paper of an output -> what its part of the page is called, and about what it is."""

Entry = tuple[Output, dict, Path]
"""An output, the facts that were written beside it, and the folder where it is."""


def gallery(figures: Path, published: Path | None = None) -> str:
    """The page for what was rendered into `figures`, or else published. Raises ResultsError if nothing was."""
    folders = [figures] if published is None else [figures, published]
    shown = [entry for output in catalogue.OUTPUTS if (entry := _entry(output, folders))]
    if not shown:
        raise ResultsError(f"{figures}: nothing rendered there yet; run `snakemake --cores all figures`.")
    tiers = sorted({facts["tier"] for _, facts, _ in shown})
    papers = {paper: entries for paper in PAPERS if (entries := [e for e in shown if e[0].paper == paper])}
    nav = "\n".join(_nav(paper, entries) for paper, entries in papers.items())
    sections = "\n".join(_paper(figures, paper, entries) for paper, entries in papers.items())
    tier = html.escape(", ".join(tiers))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>twirl: figures of tier {tier}</title>
<style>{CSS}</style>
</head>
<body>
<h1>Figures and tables, tier {tier}</h1>
<p class="lead">Ours in colour, the papers' own numbers in grey. Every entry names the runs, the commit and
the command that made it.</p>
{nav}
{sections}
</body>
</html>
"""


def _nav(paper: str | None, entries: list[Entry]) -> str:
    links = " ".join(f'<a href="#{output.name}">{_short(output)}</a>' for output, _, _ in entries)
    return f"<nav><b>{PAPERS[paper][0]}</b>{links}</nav>"


def _paper(figures: Path, paper: str | None, entries: list[Entry]) -> str:
    heading = "".join(f"<span>{html.escape(text)}</span>" for text in PAPERS[paper])
    shown = "\n".join(_section(figures, *entry) for entry in entries)
    return f'<h2 class="paper">{heading}</h2>\n{shown}'


def write_gallery(figures: Path, published: Path | None = None) -> Path:
    """Write index.html, unless it says the same already."""
    page, path = gallery(figures, published), figures / "index.html"
    if not path.is_file() or path.read_text(encoding="utf-8") != page:
        with replacing(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    return path


def _entry(output: Output, folders: Sequence[Path]) -> Entry | None:
    """An output as the first of the folders has it."""
    for folder in folders:
        if (facts := _facts(folder / f"{output.name}.json")) is not None:
            return output, facts, folder
    return None


def _section(figures: Path, output: Output, facts: dict, folder: Path) -> str:
    name = output.name
    captions = "\n".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in facts["caption"])
    notes = "\n".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in facts.get("notes", []))
    folded = f"<details><summary>Notes</summary>{notes}</details>" if notes else ""
    place = f"{output.where} &middot; {name}" if output.where else name
    heading = f"{html.escape(facts['title'])}<small>{place}</small>"
    if folder != figures:
        heading += "<em>published result, not yours yet</em>"
    return f"""<section id="{name}">
<h3>{heading}</h3>
{_body(figures, folder, name, facts)}
<div class="caption">{captions}
{folded}</div>
<p class="links">{_links(figures, folder, name, facts)}</p>
<details><summary>Provenance</summary>{_provenance(facts)}</details>
</section>"""


def _body(figures: Path, folder: Path, name: str, facts: dict) -> str:
    fragment, table = folder / f"{name}.html", folder / f"{name}.md"
    if fragment.is_file():
        return f'<div class="scroll">{fragment.read_text()}</div>'
    if table.is_file():
        return f'<pre class="scroll">{html.escape(table.read_text())}</pre>'
    narrow = ' class="narrow"' if facts.get("width", 7.0) < 5.0 else ""
    picture = _address(figures, folder / f"{name}.png")
    large = _address(figures, pdf) if (pdf := folder / f"{name}.pdf").is_file() else picture
    return f'<a href="{large}"><img src="{picture}"{narrow} alt="{html.escape(facts["title"])}"></a>'


def _links(figures: Path, folder: Path, name: str, facts: dict) -> str:
    files = [(folder / f"{name}.{kind}", kind.upper()) for kind in ("pdf", "png", "csv", "md", "json")]
    links = [(_address(figures, file), text) for file, text in files if file.is_file()]
    links.append((_address(figures, ROOT / facts["script"]), "script"))
    return " ".join(f'<a href="{file}">{text}</a>' for file, text in links)


def _address(figures: Path, file: Path) -> str:
    """Of a file, as the page in `figures` links to it."""
    return html.escape(Path(os.path.relpath(file.resolve(), figures.resolve())).as_posix())


def _provenance(facts: dict) -> str:
    rows = {
        "runs": ", ".join(facts["runs"]),
        "commit": facts["commit"],
        "trained at": ", ".join(facts["trained_at_commit"]),
        "trained on": ", ".join(facts["trained_on"]),
        "data": " | ".join(facts["data"]),
        "command": facts["command"],
        "versions": ", ".join(f"{name} {number}" for name, number in facts["versions"].items()),
        "inputs": f"sha256 {facts['inputs_digest']}",
        "paper's curves": facts["paper_curves"] and f"sha256 {facts['paper_curves']}",
    }
    shown = "".join(
        f"<dt>{key}</dt><dd>{html.escape(str(value))}</dd>" for key, value in rows.items() if value
    )
    return f"<dl>{shown}</dl>"


def _short(output: Output) -> str:
    """a_fig2 -> fig. 2; b_table1 -> table 1; a_landmarks -> landmarks; x1 -> X1."""
    paper, _, what = output.name.partition("_")
    for kind, short in (("fig", "fig."), ("table", "table")):
        if what.startswith(kind):
            return f"{short} {what.removeprefix(kind)}"
    return what.replace("_", " ") or paper.upper()


def _facts(path: Path) -> dict | None:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ResultsError(f"{path}: not JSON; render it again.") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.gallery", description="Write the gallery of a tier."
    )
    parser.add_argument(
        "--figures", required=True, type=Path, help="folder with rendered outputs, e.g. figures/mini"
    )
    parser.add_argument("--published", type=Path, help="folder to show from what is not rendered yet")
    given = parser.parse_args(arguments)
    try:
        print(write_gallery(given.figures, given.published))
    except ResultsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
