"""The gallery shows published results until one's own are there."""

import shutil
from pathlib import Path

from analysis.gallery import write_gallery
from tests.workflow.checkout import ROOT

PUBLISHED = ROOT / "figures/published/mini"
NOTE = "published result, not yours yet"


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
