"""Publishing keeps what a figure needs, whole or not at all."""

import pytest

from analysis.publish import publish, redraw
from analysis.results import ResultsError, load_runs


def finished(root, write_run, tier="subset"):
    folder = write_run(root / "results", "escaip-default", 0, tier=tier)
    figures = root / "figures" / tier
    figures.mkdir(parents=True)
    for name in ("a_fig2.png", "a_fig2.rst", "a_fig2.json", "a_fig2.pdf", "a_landmarks.md"):
        (figures / name).write_text(name)
    return folder


def test_a_published_run_can_be_read_like_the_original(tmp_path, write_run):
    folder = finished(tmp_path, write_run)
    publish("subset", tmp_path)
    copy = tmp_path / "results" / "published" / folder.relative_to(tmp_path / "results")
    assert load_runs([copy], "subset").runs[0].id == load_runs([folder], "subset").runs[0].id
    kept = {path.name for path in (tmp_path / "figures" / "published" / "subset").iterdir()}
    assert kept == {"a_fig2.png", "a_fig2.rst", "a_fig2.json", "a_landmarks.md"}


def test_nothing_is_replaced_while_a_file_is_missing(tmp_path, write_run):
    folder = finished(tmp_path, write_run)
    publish("subset", tmp_path)
    (folder / "metrics.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"not published.*metrics.parquet"):
        publish("subset", tmp_path)
    assert list((tmp_path / "results" / "published").rglob("metrics.parquet"))


def test_a_tier_without_runs_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        publish("subset", tmp_path)


def test_published_runs_are_drawn_again_where_they_are(tmp_path, write_run):
    finished(tmp_path, write_run)
    publish("subset", tmp_path)
    kept = {path.name for path in redraw("subset", tmp_path)}
    assert {"a_fig2.png", "a_fig2.rst", "a_fig2.json", "a_landmarks.md", "metrics.json"} <= kept
    published = tmp_path / "figures" / "published"
    assert {path.name for path in (published / "subset").iterdir()} == kept
    assert [path.name for path in published.iterdir()] == ["subset"]
    assert "results/published/subset/" in (published / "subset" / "a_fig2.json").read_text()


def test_runs_that_cannot_be_drawn_leave_what_was_published(tmp_path, write_run):
    finished(tmp_path, write_run)
    publish("subset", tmp_path)
    next((tmp_path / "results" / "published").rglob("metrics.parquet")).write_bytes(b"cut")
    with pytest.raises(ResultsError, match=r"metrics\.parquet"):
        redraw("subset", tmp_path)
    assert (tmp_path / "figures" / "published" / "subset" / "a_fig2.png").read_text() == "a_fig2.png"
