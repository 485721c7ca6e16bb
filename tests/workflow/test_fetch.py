"""Fetching raw files: from where, in which order, and what is said and left behind when it fails."""

import hashlib
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from dvc.dvcfile import SingleStageFile
from dvc.fs import AuthError, RemoteMissingDepsError
from werkzeug import Response

from data.fetch import CHUNK, FetchError, fetch, main, read_pointer

CONTENT = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 1000
PAGE = b"<!doctype html><title>Download</title>"
MD5 = hashlib.md5(CONTENT).hexdigest()
DEAD = "http://127.0.0.1:9/molecules.hdf5"  # nothing listens on the discard port


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A DVC repository outside git, without remotes."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    (tmp_path / "raw").mkdir()
    return tmp_path


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A folder in DVC's layout that has the file."""
    return fill(tmp_path / "mirror", CONTENT)


def fill(folder: Path, content: bytes) -> Path:
    place = folder / "files/md5" / MD5[:2] / MD5[2:]
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    return folder


def point(
    repository: Path,
    origin: str = DEAD,
    md5: str | None = MD5,
    name: str = "molecules.hdf5",
    sha256: str | None = None,
) -> Path:
    out = {"md5": md5, "size": len(CONTENT), "hash": "md5"} if md5 else {"hash": "md5"}
    out |= {"meta": {"sha256": sha256}} if sha256 else {}
    path = repository / f"raw/{name}.dvc"
    pointer = {"frozen": True, "deps": [{"path": origin}], "outs": [{**out, "path": name}]}
    path.write_text(yaml.safe_dump(pointer))
    return path


def add_remote(repository: Path, name: str, folder: Path) -> None:
    with (repository / ".dvc/config").open("a") as file:
        file.write(f"['remote \"{name}\"']\n    url = {folder}\n")


def raw(repository: Path) -> list[str]:
    """The files beside the pointer."""
    return sorted(path.name for path in (repository / "raw").iterdir() if path.suffix != ".dvc")


def test_a_file_that_is_there_is_left_alone(repository):
    pointer = point(repository)
    target = read_pointer(pointer).target
    target.write_bytes(CONTENT)
    before = target.stat().st_mtime_ns
    assert fetch(pointer) == "already present"
    assert target.stat().st_mtime_ns == before


def test_the_mirror_comes_before_the_origin(repository, mirror, httpserver):
    pointer = point(repository, httpserver.url_for("/molecules.hdf5"))
    assert fetch(pointer, str(mirror)) == f"mirror {mirror}"
    assert httpserver.log == []
    assert read_pointer(pointer).target.read_bytes() == CONTENT


def test_the_mirror_may_be_a_dvc_remote_by_name(repository, mirror):
    add_remote(repository, "site", mirror)
    assert fetch(point(repository), "site").startswith("mirror site")
    assert raw(repository) == ["molecules.hdf5"]


def test_configured_remotes_are_asked_without_a_mirror(repository, mirror):
    add_remote(repository, "store", mirror)
    assert fetch(point(repository)).startswith("DVC remote store")


def test_the_origin_serves_what_no_mirror_has(repository, tmp_path, httpserver):
    httpserver.expect_request("/molecules.hdf5").respond_with_data(CONTENT)
    empty = tmp_path / "empty"
    empty.mkdir()
    origin = httpserver.url_for("/molecules.hdf5")
    assert fetch(point(repository, origin), str(empty)) == f"origin {origin}"
    assert raw(repository) == ["molecules.hdf5"]


def test_what_dvc_has_in_its_cache_is_not_fetched(repository):
    fill(repository / ".dvc/cache", CONTENT)
    assert fetch(point(repository)) == "DVC cache"


def test_a_failure_names_file_mirror_remote_and_url_and_what_to_do(repository, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    add_remote(repository, "store", empty)
    assert main([str(point(repository)), "--mirror", "/nowhere"]) == 1
    message = capsys.readouterr().err
    for part in ("molecules.hdf5", MD5, "mirror /nowhere: neither", "DVC remote store", DEAD, "What to do"):
        assert part in message
    assert "Traceback" not in message
    assert raw(repository) == []


def test_a_missing_page_is_told_by_its_status(repository, httpserver):
    httpserver.expect_request("/molecules.hdf5").respond_with_data("gone", status=404)
    with pytest.raises(FetchError, match="404 NOT FOUND"):
        fetch(point(repository, httpserver.url_for("/molecules.hdf5")))
    assert raw(repository) == []


def test_changed_bytes_are_refused_and_removed(repository, httpserver):
    httpserver.expect_request("/molecules.hdf5").respond_with_data(CONTENT[::-1])
    with pytest.raises(FetchError, match=r"wrong checksum .* refused and removed"):
        fetch(point(repository, httpserver.url_for("/molecules.hdf5")))
    assert raw(repository) == []


def test_a_corrupted_mirror_is_passed_over(repository, tmp_path, httpserver):
    httpserver.expect_request("/molecules.hdf5").respond_with_data(CONTENT)
    corrupted = fill(tmp_path / "corrupted", CONTENT[:-1])
    pointer = point(repository, httpserver.url_for("/molecules.hdf5"))
    assert fetch(pointer, str(corrupted)).startswith("origin")


def test_a_corrupted_remote_is_refused_and_does_not_spoil_the_cache(repository, tmp_path, mirror):
    add_remote(repository, "bad", fill(tmp_path / "corrupted", CONTENT[:-1]))
    pointer = point(repository)
    with pytest.raises(FetchError, match="DVC remote bad"):
        fetch(pointer)
    assert raw(repository) == []
    add_remote(repository, "good", mirror)
    assert fetch(pointer, "good").startswith("mirror good")


def test_pulls_of_several_jobs_wait_for_one_another(repository, mirror, monkeypatch):
    add_remote(repository, "site", mirror)
    inside = []

    class Repo:
        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def pull(self, targets, remote):
            inside.append(1)
            assert len(inside) == 1
            time.sleep(0.05)
            Path(targets[0]).with_suffix("").write_bytes(CONTENT)
            inside.pop()

    monkeypatch.setattr("dvc.repo.Repo", Repo)
    pointers = [point(repository, name=f"{k}.hdf5") for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        places = list(pool.map(fetch, pointers))
    assert all(place.startswith("DVC remote site") for place in places)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RemoteMissingDepsError(None, "s3", "s3://bucket", ["s3fs", "boto3"]),
            "DVC lacks the Python packages for s3: s3fs, boto3",
        ),
        (ImportError("s3 requires 'dvc-s3'"), "s3 requires 'dvc-s3'"),
        (AuthError("no credentials"), "no credentials"),
        (PermissionError(13, "Permission denied", "/cache"), "Permission denied: '/cache'"),
    ],
)
def test_a_remote_that_cannot_be_asked_is_passed_over(repository, httpserver, monkeypatch, error, said):
    def pull(*_, **__):
        raise error

    monkeypatch.setattr("dvc.repo.Repo.pull", pull)
    add_remote(repository, "bucket", "s3://bucket")
    with pytest.raises(FetchError, match=rf"DVC remote bucket \(s3://bucket\): .*{said}"):
        fetch(point(repository))
    httpserver.expect_request("/molecules.hdf5").respond_with_data(CONTENT)
    assert fetch(point(repository, httpserver.url_for("/molecules.hdf5"))).startswith("origin")


def test_a_full_disk_is_told_in_the_one_message(repository, mirror, httpserver):
    """/dev/full refuses every byte. The broken copy is removed, so that the next place begins anew."""
    pointer = point(repository)
    read_pointer(pointer).part.symlink_to("/dev/full")
    with pytest.raises(FetchError, match=r"mirror .*No space left on device") as caught:
        fetch(pointer, str(mirror))
    assert f"origin {DEAD}" in str(caught.value)
    assert raw(repository) == []
    httpserver.expect_request("/molecules.hdf5").respond_with_data(CONTENT)
    pointer = point(repository, httpserver.url_for("/molecules.hdf5"))
    read_pointer(pointer).part.symlink_to("/dev/full")
    with pytest.raises(FetchError, match=r"origin .*No space left on device"):
        fetch(pointer)


def test_a_mirror_that_may_not_be_read_is_passed_over(repository, mirror, httpserver, monkeypatch):
    def refuse(folder):
        if folder == mirror:
            raise PermissionError(13, "Permission denied", str(folder))
        return True

    httpserver.expect_request("/molecules.hdf5").respond_with_data(CONTENT, status=503)
    pointer = point(repository, httpserver.url_for("/molecules.hdf5"))
    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(FetchError, match=r"mirror .*Permission denied.*\n.*origin .*503"):
        fetch(pointer, str(mirror), repository)


def test_a_file_that_was_spoiled_in_place_is_fetched_again(repository, mirror, capsys):
    pointer = point(repository)
    target = read_pointer(pointer).target
    target.write_bytes(CONTENT[:100])
    fetch(pointer, str(mirror))
    assert target.read_bytes() == CONTENT
    assert "wrong checksum, removed" in capsys.readouterr().err


def test_a_download_that_breaks_off_is_carried_on(repository, httpserver):
    def broken(request):
        return Response(iter([CONTENT[:100_000]]), headers={"Content-Length": str(len(CONTENT))})

    def rest(request):
        assert request.headers["Range"] == f"bytes={CHUNK}-"
        return Response(CONTENT[CHUNK:], status=206)

    pointer = point(repository, httpserver.url_for("/molecules.hdf5"))
    httpserver.expect_ordered_request("/molecules.hdf5").respond_with_handler(broken)
    httpserver.expect_ordered_request("/molecules.hdf5").respond_with_handler(rest)
    with pytest.raises(FetchError, match="IncompleteRead"):
        fetch(pointer)
    assert raw(repository) == ["molecules.hdf5.part"]
    fetch(pointer)
    assert raw(repository) == ["molecules.hdf5"]


def test_an_origin_that_serves_too_little_and_says_so_is_refused(repository, httpserver):
    httpserver.expect_request("/molecules.hdf5").respond_with_data(CONTENT[:1000])
    with pytest.raises(FetchError, match=f"1000 of {len(CONTENT)} bytes"):
        fetch(point(repository, httpserver.url_for("/molecules.hdf5")))
    assert raw(repository) == []


def test_a_first_download_records_its_checksum(repository, httpserver, capsys):
    httpserver.expect_oneshot_request("/molecules.hdf5").respond_with_data(CONTENT)
    pointer = point(repository, httpserver.url_for("/molecules.hdf5"), md5=None)
    fetch(pointer)
    assert (read_pointer(pointer).md5, read_pointer(pointer).size) == (MD5, len(CONTENT))
    assert "commit it" in capsys.readouterr().err
    assert fetch(pointer) == "already present"


def test_a_first_download_is_held_to_a_sha256(repository, httpserver, capsys):
    httpserver.expect_oneshot_request("/molecules.hdf5").respond_with_data(CONTENT[:-1] + b"x")
    httpserver.expect_oneshot_request("/molecules.hdf5").respond_with_data(CONTENT)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    pointer = point(repository, httpserver.url_for("/molecules.hdf5"), md5=None, sha256=sha256)
    before = pointer.read_text()
    with pytest.raises(FetchError, match=rf"\(sha256 {sha256}\)(.|\n)*wrong checksum .*refused and removed"):
        fetch(pointer)
    assert raw(repository) == []
    assert pointer.read_text() == before
    fetch(pointer)
    assert (read_pointer(pointer).md5, read_pointer(pointer).sha256) == (MD5, sha256)
    SingleStageFile.validate(yaml.safe_load(pointer.read_text()))
    read_pointer(pointer).target.write_bytes(CONTENT[::-1])
    pointer.write_text(before)
    with pytest.raises(FetchError):
        fetch(pointer)
    assert "wrong checksum, removed" in capsys.readouterr().err
    assert read_pointer(pointer).md5 is None


def test_every_pointer_without_a_checksum_is_known_to_be_one():
    """As the README lists them; the others' bytes are known before anybody downloads them."""
    pointers = [read_pointer(path) for path in Path(__file__).parents[2].glob("data/*/raw/*.dvc")]
    unknown = {pointer.target.name for pointer in pointers if not (pointer.md5 or pointer.sha256)}
    midi = {f"{part}_data.pickle" for part in ("train", "val", "test")}
    weekly = {"pdb_bundle_index.txt", "pdb_entry_type.txt", "pdb_seqres.txt.gz", "resolu.idx"}
    spice = {"SPICE-1.1.4.hdf5", "train_large_neut_no_bad_clean.tar.gz", "test_large_neut_all.tar.gz"}
    assert unknown == midi | weekly | spice
    for pointer in pointers:
        SingleStageFile.validate(yaml.safe_load(pointer.path.read_text()))


@pytest.mark.parametrize("name", ["molecules.hdf5", "frames.tar.gz"])
def test_a_web_page_in_place_of_a_first_download_is_refused(repository, httpserver, name):
    httpserver.expect_request(f"/{name}").respond_with_data(PAGE)
    pointer = point(repository, httpserver.url_for(f"/{name}"), md5=None, name=name)
    before = pointer.read_text()
    with pytest.raises(FetchError, match=f"sent no {Path(name).suffix} file .* refused and removed"):
        fetch(pointer)
    assert raw(repository) == []
    assert pointer.read_text() == before


def test_a_saved_web_page_is_not_recorded_either_and_is_left_where_it_is(repository):
    pointer = point(repository, md5=None)
    target = read_pointer(pointer).target
    target.write_bytes(PAGE)
    with pytest.raises(FetchError, match=r"molecules\.hdf5 does not begin as a \.hdf5 file"):
        fetch(pointer)
    assert target.read_bytes() == PAGE
    assert read_pointer(pointer).md5 is None


def test_a_pointer_that_is_none_is_named(repository):
    pointer = repository / "raw/molecules.hdf5.dvc"
    with pytest.raises(FetchError, match=r"molecules\.hdf5\.dvc: cannot be read"):
        fetch(pointer)
    pointer.write_text("outs: 3")
    with pytest.raises(FetchError, match="not a DVC pointer"):
        fetch(pointer)


def test_dvc_pull_works_on_the_same_pointers(repository, mirror):
    add_remote(repository, "site", mirror)
    pointer = point(repository)
    command = [sys.executable, "-m", "dvc", "pull", "-q", "-r", "site", str(pointer)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    assert read_pointer(pointer).target.read_bytes() == CONTENT
    shutil.rmtree(mirror)
    assert fetch(pointer) == "already present"
