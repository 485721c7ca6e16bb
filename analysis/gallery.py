"""The page that shows every figure and table of a tier, each with its caption and where it came from.

    python -m analysis.gallery --figures figures/mini

writes <figures>/index.html, which needs nothing but the files beside it.
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


def gallery(figures: Path) -> str:
    """The page for what was rendered into `figures`. Raises ResultsError if nothing was."""
    shown = [
        (output, facts)
        for output in catalogue.OUTPUTS
        if (facts := _facts(figures / f"{output.name}.json")) is not None
    ]
    if not shown:
        raise ResultsError(f"{figures}: nothing rendered there yet; run `snakemake --cores all figures`.")
    tiers = sorted({facts["tier"] for _, facts in shown})
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


def _nav(paper: str | None, entries: list[tuple[Output, dict]]) -> str:
    links = " ".join(f'<a href="#{output.name}">{_short(output)}</a>' for output, _ in entries)
    return f"<nav><b>{PAPERS[paper][0]}</b>{links}</nav>"


def _paper(figures: Path, paper: str | None, entries: list[tuple[Output, dict]]) -> str:
    heading = "".join(f"<span>{html.escape(text)}</span>" for text in PAPERS[paper])
    shown = "\n".join(_section(figures, output.name, facts) for output, facts in entries)
    return f'<h2 class="paper">{heading}</h2>\n{shown}'


def write_gallery(figures: Path) -> Path:
    """Write index.html."""
    page, path = gallery(figures), figures / "index.html"
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _section(figures: Path, name: str, facts: dict) -> str:
    captions = "\n".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in facts["caption"])
    notes = "\n".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in facts.get("notes", []))
    folded = f"<details><summary>Notes</summary>{notes}</details>" if notes else ""
    heading = f"{html.escape(facts['title'])}<small>{name}</small>"
    return f"""<section id="{name}">
<h3>{heading}</h3>
{_body(figures, name, facts)}
<div class="caption">{captions}
{folded}</div>
<p class="links">{_links(figures, name, facts)}</p>
<details><summary>Provenance</summary>{_provenance(facts)}</details>
</section>"""


def _body(figures: Path, name: str, facts: dict) -> str:
    fragment = figures / f"{name}.html"
    if fragment.is_file():
        return f'<div class="scroll">{fragment.read_text()}</div>'
    narrow = ' class="narrow"' if facts.get("width", 7.0) < 5.0 else ""
    return f'<a href="{name}.pdf"><img src="{name}.png"{narrow} alt="{html.escape(facts["title"])}"></a>'


def _links(figures: Path, name: str, facts: dict) -> str:
    files = [(f"{name}.{kind}", kind.upper()) for kind in ("pdf", "png", "csv", "md", "json")]
    links = [(file, text) for file, text in files if (figures / file).is_file()]
    links.append((Path(os.path.relpath(ROOT / facts["script"], figures.resolve())).as_posix(), "script"))
    return " ".join(f'<a href="{html.escape(file)}">{text}</a>' for file, text in links)


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
    given = parser.parse_args(arguments)
    try:
        print(write_gallery(given.figures))
    except ResultsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
