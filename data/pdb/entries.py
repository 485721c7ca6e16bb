"""Lists the entries of the PDB that a tier wants and fetches them.

`python -m data.pdb.entries --config block.yaml --out data/pdb/prepared/paper.entries.tsv`, where the YAML file holds
the `data.pdb` block of the tier. The list is a table of chains with their sequences, made from the archive's index
files, which are raw files like others. Entries go to <raw>/entries/<middle>/<entry>.cif.gz, several at once. A
file that is present and in the ledger <raw>/entries/md5sums is not fetched again. The ledger has the checksum of every
fetched file, in the format of md5sum; if the ledger was brought along, files with other bytes are refused. Entries that
the archive no longer has are listed in <out>.absent.
"""

import gzip
import hashlib
import io
import sys
import time
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import local

import requests

from data.command import prepare_command, progress_bar
from data.errors import DataError
from data.files import replacing, write_text
from data.pdb.index import select, write_list
from data.pdb.settings import PdbSettings
from data.pdb.structures import LARGEST

TIMEOUT = (10, 60)  # to connect, between two packets [s]
TRIES, WAIT = 3, 1.0  # and [s] before the second, twice that before the third
AT_ONCE = 16
LARGEST_SENT = 1 << 28  # [bytes] of an entry as it is sent
_THREAD = local()


class GoneError(RuntimeError):
    """The archive has no such entry."""


class RefusedError(RuntimeError):
    """The answer is not the entry: it is damaged, or has another checksum than the ledger."""


def entry_file(folder: Path, entry: str) -> Path:
    """The file of an entry: in the archive's layout, by the two characters before the last."""
    return folder / entry[-3:-1] / f"{entry}.cif.gz"


def listed(settings: PdbSettings, out: Path, raw: Path) -> tuple[set[str], dict[str, int]]:
    """Writes the list; returns its entries and how many chains each filter left out."""
    chosen, left_out = select(settings, raw)
    if not chosen:
        raise DataError(
            f"no chain of {raw / 'pdb_seqres.txt.gz'} passes the filters of data.pdb "
            f"({', '.join(f'{reason}: {count}' for reason, count in left_out.items())}): widen them"
        )
    write_list(out, chosen)
    return {row.entry for row in chosen}, left_out


def fetch_entries(
    entries: Iterable[str], folder: Path, origin: str, at_once: int | None = None
) -> dict[str, list[str]]:
    """Fetches missing entries; returns {"present": entries, "fetched": entries, "absent": entries}.

    origin: an address, or a folder, that has <entry>.cif.gz. DataError in the end if some could not be fetched: the
    others are kept, and the next call goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / "md5sums")
    outcome: dict[str, list[str]] = {"present": [], "fetched": [], "absent": []}
    missing = []
    for entry in sorted(set(entries)):
        (outcome["present"] if ledger.has(entry_file(folder, entry)) else missing).append(entry)
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(at_once or AT_ONCE) as pool:
        jobs = {pool.submit(_fetch, entry, folder, origin, ledger): entry for entry in missing}
        for job in progress_bar(len(jobs), "entry", "fetching entries", iterable=as_completed(jobs)):
            try:
                ledger.add(*job.result())
                outcome["fetched"].append(jobs[job])
            except GoneError:
                outcome["absent"].append(jobs[job])
            except (RefusedError, requests.RequestException, OSError) as error:
                failed[jobs[job]] = " ".join(str(error).split())
    if failed:
        first = min(failed)
        raise DataError(
            f"{len(failed)} of {len(missing)} entries could not be fetched from {origin}, the first is {first} "
            f"({failed[first]}): run it again, what came is kept"
        )
    return {kind: sorted(names) for kind, names in outcome.items()}


class Ledger:
    """Checksums of the entries fetched, one line each as md5sum writes them, with paths below the ledger's folder."""

    def __init__(self, path: Path):
        self.path = path
        self.known: dict[str, str] = {}
        if path.exists():
            *lines, cut = path.read_text().split("\n")
            for line in lines:
                md5, _, name = line.partition("  ")
                if len(md5) == 32 and name:
                    self.known[name] = md5
            if cut:  # a killed fetch left half a line: the next one begins on a line of its own
                with path.open("a") as ledger:
                    ledger.write("\n")

    def of(self, file: Path) -> str | None:
        return self.known.get(self._name(file))

    def has(self, file: Path) -> bool:
        """Whether the file of an entry is there; files get their names only when they are complete."""
        return self.of(file) is not None and file.exists()

    def add(self, file: Path, md5: str) -> None:
        name = self._name(file)
        if self.known.get(name) != md5:
            self.known[name] = md5
            with self.path.open("a") as ledger:
                ledger.write(f"{md5}  {name}\n")

    def _name(self, file: Path) -> str:
        return file.relative_to(self.path.parent).as_posix()


def _fetch(entry: str, folder: Path, origin: str, ledger: Ledger) -> tuple[Path, str]:
    """Puts an entry in place; returns its file and checksum."""
    file = entry_file(folder, entry)
    for k in range(TRIES):
        try:
            content = file.read_bytes() if file.exists() else _content(entry, origin)
            md5 = _checked(content, ledger.of(file))
            break
        except (RefusedError, requests.RequestException):
            file.unlink(missing_ok=True)
            if k == TRIES - 1:
                raise
            time.sleep(WAIT * 2**k)
    if not file.exists():
        with replacing(file) as temporary:
            temporary.write_bytes(content)
    return file, md5


def _content(entry: str, origin: str) -> bytes:
    if "://" not in origin:
        try:
            with Path(origin, f"{entry}.cif.gz").open("rb") as file:
                return _limited(iter(lambda: file.read(1 << 16), b""))
        except FileNotFoundError as error:
            raise GoneError(entry) from error
    if not hasattr(_THREAD, "session"):
        _THREAD.session = requests.Session()
    address = f"{origin.rstrip('/')}/{entry}.cif.gz"
    with _THREAD.session.get(address, timeout=TIMEOUT, stream=True) as response:
        if response.status_code in (404, 410):
            raise GoneError(entry)
        if not response.ok:
            raise RefusedError(f"{response.status_code} {response.reason}")
        return _limited(response.iter_content(1 << 16))


def _limited(parts: Iterable[bytes]) -> bytes:
    """The parts together; RefusedError as soon as they are more than LARGEST_SENT."""
    content = bytearray()
    for part in parts:
        content += part
        if len(content) > LARGEST_SENT:
            raise RefusedError(f"more than {LARGEST_SENT >> 20} MB came, too much for one entry")
    return bytes(content)


def _checked(content: bytes, md5: str | None) -> str:
    """The checksum of a whole gzipped mmCIF file; RefusedError for another file, or another checksum than `md5`."""
    found = hashlib.md5(content).hexdigest()
    if md5 is not None and found != md5:
        raise RefusedError(f"its checksum is {found}, the ledger has {md5}")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            begins = file.read(1 << 16).lstrip().lower().startswith(b"data_")
            while file.read(1 << 20):
                if file.tell() > LARGEST:
                    raise RefusedError(f"more than {LARGEST >> 20} MB of text, too much for one entry")
    except (EOFError, OSError, zlib.error) as error:
        raise RefusedError(f"not a whole gzip file, {error}") from error
    if not begins:
        raise RefusedError("not an mmCIF file")
    return found


def main(arguments: list[str] | None = None) -> int:
    def run(settings: PdbSettings, options) -> str:
        if settings.source != "rcsb":
            raise DataError(f"data.pdb.source is {settings.source}: only rcsb has a list of entries")
        entries, left_out = listed(settings, options.out, options.raw)
        outcome = fetch_entries(entries, options.raw / "entries", settings.origin)
        absent = options.out.with_name(options.out.name + ".absent")
        write_text(absent, "".join(f"{entry}\n" for entry in outcome["absent"]))
        counts = ", ".join(f"{len(names)} {kind}" for kind, names in outcome.items())
        filtered = ", ".join(f"{reason} {count}" for reason, count in left_out.items())
        return f"{len(entries)} entries ({counts}); chains left out: {filtered}"

    return prepare_command("pdb", __doc__.splitlines()[0], run, arguments, module="entries")


if __name__ == "__main__":
    sys.exit(main())
