"""The page of all figures and tables."""

import html
import json
import re
import shutil
from pathlib import Path

from analysis import catalogue, gallery
from analysis.captions import WORDS
from analysis.gallery import write_gallery
from tests.workflow.checkout import ROOT

NAMES = [output.name for output in catalogue.OUTPUTS]
PUBLISHED = ROOT / "figures/published/mini"
NOTE = "published result, not yours yet"


def test_captions_are_short_and_notes_are_folded_below_them(rendered):
    page = (rendered / "index.html").read_text()
    for output in NAMES:
        facts = json.loads((rendered / f"{output}.json").read_text())
        text, drawn_from = facts["caption"]  # the second is the line on tier, seeds, networks and data
        assert len(text.split()) <= WORDS, output
        assert drawn_from.startswith("Tier mini; ")
        section = page[page.index(f'<section id="{output}">') :].split("</section>")[0]
        for note in facts["notes"]:
            assert section.index("<summary>Notes</summary>") < section.index(html.escape(note))


def test_the_gallery_shows_every_output_and_links_only_to_files_that_exist(rendered):
    page = (rendered / "index.html").read_text()
    for output in NAMES:
        assert f'<section id="{output}">' in page
    papers = ["Paper A", "Paper B", "Beyond both"]
    parts = [page.index(f'<h2 class="paper"><span>{paper}') for paper in papers]
    assert parts == sorted(parts)
    for paper, first, last in zip(("A", "B", None), parts, [*parts[1:], len(page)], strict=True):
        sections = re.findall(r'<section id="(\w+)">', page[first:last])
        assert sections == [output.name for output in catalogue.OUTPUTS if output.paper == paper]
    links = {part.split('"')[0] for part in page.split('href="')[1:]} | {
        part.split('"')[0] for part in page.split('src="')[1:]
    }
    for link in links:
        assert link.startswith("#") or (rendered / link).resolve().is_file(), link
    assert "http" not in page


def test_a_gallery_of_nothing_is_one_sentence(tmp_path, capsys):
    assert gallery.main(["--figures", str(tmp_path)]) == 1
    assert "nothing rendered there yet" in capsys.readouterr().err


def test_published_results_are_shown_until_ones_own_are_there(tmp_path):
    names = {path.stem for path in PUBLISHED.glob("*.json")} - {"metrics"}
    page = write_gallery(tmp_path, PUBLISHED).read_text()
    assert page.count(NOTE) == len(names)
    for file in PUBLISHED.glob("a_fig2.*"):
        shutil.copy(file, tmp_path)
    page = write_gallery(tmp_path, PUBLISHED).read_text()
    assert page.count(NOTE) == len(names) - 1
    assert 'src="a_fig2.png"' in page
    shown = [Path(tmp_path, part.split('"')[0]) for part in page.split('src="')[1:]]
    assert all(path.is_file() for path in shown)


def test_a_page_that_says_the_same_is_not_written_again(tmp_path):
    path = write_gallery(tmp_path, PUBLISHED)
    before = path.stat().st_mtime_ns
    write_gallery(tmp_path, PUBLISHED)
    assert path.stat().st_mtime_ns == before
