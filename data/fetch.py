"""Fetch raw files by their DVC pointers: `python -m data.fetch data/spice/raw/water.hdf5.dvc --mirror site`.

A file that is present with the pointer's checksum is left alone. Otherwise it is taken from the first place
that has it: the DVC cache, the mirror, every configured DVC remote, the origin. It is written under another
name, compared with the checksum and only then renamed; bytes that do not match are removed. A pointer without DVC's
checksum, md5, belongs to a file that we could not download yet: its first download records the md5 in the pointer, to
be committed, if the file has the sha256 under `meta` of the pointer's output or, where there is none either, if it
begins as a file of its name does.
"""

import argparse
import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
import yaml
from tqdm import tqdm

from data.files import write_text

CHUNK = 1 << 16  # [bytes]
TIMEOUT = (10, 60)  # to connect, between two packets [s]
BEGINNINGS = {".hdf5": b"\x89HDF\r\n\x1a\n", ".gz": b"\x1f\x8b", ".npy": b"\x93NUMPY", ".pickle": b"\x80"}


class FetchError(RuntimeError):
    """A file that no place has: the places that were tried, and what to do."""


class UnavailableError(RuntimeError):
    """One place does not have the file, or has other bytes under its name."""


@dataclass(frozen=True)
class Pointer:
    """A .dvc file of one output, imported from a URL. md5 and size are None before the first fetch.

    sha256: None, or the checksum that others report.
    """

    path: Path
    target: Path
    origin: str | None
    md5: str | None
    size: int | None
    sha256: str | None = None

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def object(self) -> Path:
        """Where a DVC cache or remote keeps the file."""
        return Path("files", "md5", self.md5[:2], self.md5[2:])


def read_pointer(path: Path) -> Pointer:
    try:
        content = yaml.safe_load(path.read_text())
        (out,) = content["outs"]
        origin = content["deps"][0]["path"] if content.get("deps") else None
        sha256 = out.get("meta", {}).get("sha256")
        return Pointer(path, path.parent / out["path"], origin, out.get("md5"), out.get("size"), sha256)
    except OSError as error:
        raise FetchError(f"{path}: cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise FetchError(f"{path}: not a DVC pointer of one file: {error!r}.") from error


def fetch(path: Path, mirror: str | None = None, root: Path | None = None) -> str:
    """Puts the pointer's file in place and returns where it came from.

    mirror: the name of a DVC remote, or a folder laid out like one. root: the DVC repository, by default the
    one around the pointer. Raises FetchError.
    """
    pointer = read_pointer(path)
    root = root or _repository(path)
    if pointer.target.exists():
        if not (pointer.md5 or pointer.sha256 or _begins_as_named(pointer, pointer.target)):
            raise FetchError(
                f"{pointer.target} does not begin as a {pointer.target.suffix} file, perhaps it is a web page; "
                "its checksum is not recorded. Replace it by the file itself, or remove it to have it fetched."
            )
        if _is_right(pointer):
            return "already present"
        print(f"{pointer.target}: wrong checksum, removed; fetching it again", file=sys.stderr)
        pointer.target.unlink()
    tried = []
    for place, take in _places(pointer, mirror, root):
        try:
            take()
            return place
        except UnavailableError as reason:
            tried.append(f"  {place}: {reason}")
        except OSError as error:
            tried.append(f"  {place}: {error}")
    raise FetchError(_report(pointer, mirror, tried))


def _places(pointer: Pointer, mirror: str | None, root: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Where to look, in this order, by name."""
    remotes = _remotes(root)
    if pointer.md5:
        cache = root / ".dvc" / "cache"
        if os.path.isfile(cache / pointer.object):  # unlike Path.is_file, False where it may not be looked at
            yield "DVC cache", lambda: _copy(pointer, cache)
        if mirror and mirror in remotes:
            yield f"mirror {mirror} (DVC remote {remotes.pop(mirror)})", lambda: _pull(pointer, mirror, root)
        elif mirror:
            yield f"mirror {mirror}", lambda: _copy(pointer, root / mirror)
        for name, url in remotes.items():
            yield f"DVC remote {name} ({url})", lambda name=name: _pull(pointer, name, root)
    if pointer.origin:
        yield f"origin {pointer.origin}", lambda: _download(pointer)


def _copy(pointer: Pointer, folder: Path) -> None:
    """From a folder in DVC's layout."""
    source = folder / pointer.object
    if not folder.is_dir():
        raise UnavailableError("neither a DVC remote of this repository nor a folder")
    if not source.is_file():
        raise UnavailableError(f"has no {pointer.object}")
    with source.open("rb") as file:
        try:
            _write(pointer, iter(lambda: file.read(CHUNK), b""), source.stat().st_size)
        except OSError:
            pointer.part.unlink(missing_ok=True)
            raise
    _finish(pointer)


def _pull(pointer: Pointer, remote: str, root: Path) -> None:
    """From a remote of any kind, by DVC itself, which is told to check what it receives."""
    from dvc.fs import RemoteMissingDepsError
    from dvc.repo import Repo

    try:
        with (
            _one_at_a_time(root),
            Repo(str(root), config={"remote": {remote: {"verify": True}}}) as repo,
        ):
            repo.pull(targets=[str(pointer.path.resolve())], remote=remote)
    except RemoteMissingDepsError as error:
        raise UnavailableError(
            f"DVC lacks the Python packages for {error.protocol}: {', '.join(error.missing_deps)}"
        ) from error
    except Exception as error:  # DVC's own, and whatever the plugin of a remote's kind raises
        raise UnavailableError(" ".join(str(error).split()) or type(error).__name__) from error
    if not pointer.target.exists():
        raise UnavailableError(f"has no {pointer.object}")
    if not _is_right(pointer):
        pointer.target.unlink()
        raise UnavailableError("has other bytes under this checksum; removed")


@contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    """Waits for other fetches: DVC itself gives up after three seconds of waiting for its lock."""
    folder = root / ".dvc" / "tmp"
    folder.mkdir(exist_ok=True)
    with (folder / "fetch.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(pointer: Pointer) -> None:
    """From the origin. A broken download is carried on next time, if a checksum guards against patchwork."""
    have = pointer.part.stat().st_size if pointer.md5 and pointer.part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(pointer.origin, stream=True, timeout=TIMEOUT, headers=headers) as response:
            if response.status_code == 416:  # the part is not the beginning of this file
                pointer.part.unlink()
                raise UnavailableError("an earlier, partial download was unusable and is removed: try again")
            if not response.ok:
                raise UnavailableError(f"{response.status_code} {response.reason}")
            have = have if response.status_code == 206 else 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else pointer.size
            _write(pointer, response.iter_content(CHUNK), total, have)
    except requests.RequestException as error:
        raise UnavailableError(_cause(error)) from error
    _finish(pointer)


def _write(pointer: Pointer, chunks: Iterable[bytes], total: int | None, have: int = 0) -> None:
    pointer.target.parent.mkdir(parents=True, exist_ok=True)
    with pointer.part.open("ab" if have else "wb") as file, _bar(total, pointer.target.name) as bar:
        bar.update(have)
        for chunk in chunks:
            file.write(chunk)
            bar.update(len(chunk))


def _finish(pointer: Pointer) -> None:
    """Checks what was written and gives it its name; records the checksum of a first download."""
    size, wrong = pointer.part.stat().st_size, _wrong_checksum(pointer, pointer.part)
    if wrong:
        pointer.part.unlink()
        cut = f", {size} of {pointer.size} bytes" if pointer.size and size != pointer.size else ""
        raise UnavailableError(f"wrong checksum {wrong}{cut}; refused and removed")
    if not (pointer.md5 or pointer.sha256 or _begins_as_named(pointer, pointer.part)):
        pointer.part.unlink()
        raise UnavailableError(
            f"sent no {pointer.target.suffix} file by its first bytes, perhaps a web page; refused and removed"
        )
    if not pointer.md5:
        _record(pointer, pointer.part)
    pointer.part.replace(pointer.target)


def _wrong_checksum(pointer: Pointer, path: Path) -> str | None:
    """The checksum of the file at `path` that is not the pointer's."""
    for name in ("md5", "sha256"):
        expected = getattr(pointer, name)
        if expected and (found := _checksum(path, name)) != expected:
            return found
    return None


def _begins_as_named(pointer: Pointer, path: Path) -> bool:
    """Whether the bytes at `path` begin as those of a file with the target's suffix."""
    beginning = BEGINNINGS.get(pointer.target.suffix, b"")
    with path.open("rb") as file:
        return file.read(len(beginning)) == beginning


def _is_right(pointer: Pointer) -> bool:
    right = _wrong_checksum(pointer, pointer.target) is None
    if right and not pointer.md5:
        _record(pointer, pointer.target)
    return right


def _record(pointer: Pointer, path: Path) -> None:
    """Puts md5 and size of the file at `path` into the pointer."""
    content, md5 = yaml.safe_load(pointer.path.read_text()), _checksum(path, "md5")
    (out,) = content["outs"]
    content["outs"] = [{**out, "md5": md5, "size": path.stat().st_size, "hash": "md5"}]
    write_text(pointer.path, yaml.safe_dump(content, sort_keys=False))
    print(f"{pointer.path}: recorded md5 {md5} of the first download: commit it", file=sys.stderr)


def _checksum(path: Path, name: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).hexdigest()


def _remotes(root: Path) -> dict[str, str]:
    """Configured DVC remotes and their addresses, the default one first."""
    if not (root / ".dvc").is_dir():
        return {}
    from dvc.config import Config

    config = Config(str(root / ".dvc"))
    default = config["core"].get("remote")
    names = sorted(config["remote"], key=lambda name: (name != default, name))
    return {name: config["remote"][name]["url"] for name in names}


def _repository(path: Path) -> Path:
    parents = path.resolve().parents
    return next((parent for parent in parents if (parent / ".dvc").is_dir()), path.resolve().parent)


def _cause(error: BaseException) -> str:
    """The innermost reason of a failed request, without the wrapping."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return " ".join(str(error).split()) or type(error).__name__


def _report(pointer: Pointer, mirror: str | None, tried: list[str]) -> str:
    size = f", {pointer.size} bytes" if pointer.size else ""
    known = [f"{name} {value}" for name in ("md5", "sha256") if (value := getattr(pointer, name))]
    expected = f"{' '.join(known)}{size}" if known else "no checksum yet"
    places = "\n".join(tried) or "  nowhere to look: the pointer names no origin"
    other = "another" if mirror else "a"
    return (
        f"{pointer.target} ({expected}) could not be had. Tried:\n{places}\n"
        f"What to do: name {other} mirror that has it (--mirror NAME, in snakemake --config mirror=NAME: a DVC "
        f"remote, or a folder laid out like one), or bring the file by hand to {pointer.target}; its checksum is "
        "verified. Then rerun."
    )


def _bar(total: int | None, name: str) -> tqdm:
    """A progress bar; in a log file it prints every ten seconds only."""
    interval = 0.2 if sys.stderr.isatty() else 10.0
    options = {"unit": "B", "unit_scale": True, "mininterval": interval, "maxinterval": interval}
    return tqdm(total=total, desc=name, **options)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m data.fetch", description=__doc__.splitlines()[0])
    parser.add_argument("pointer", type=Path, nargs="+", help="the .dvc file beside the raw file")
    parser.add_argument("--mirror", default="", help="a DVC remote, or a folder laid out like one")
    options = parser.parse_args(arguments)
    for path in options.pointer:
        try:
            place = fetch(path, options.mirror or None)
        except (FetchError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(f"{path.with_suffix('')}: {place}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
