"""Does a job in a process that has imported everything already: `python -m models.warm --config run.yaml` trains a run.

Importing torch and Lightning takes as long as a small run. The first call starts a server, which imports them once
and forks a process for every run; this one and later calls hand it their arguments and their output, and end with the
run's exit status. A call that is interrupted takes its run along. The server ends with the process that $TWIRL_CALL
names, such as the Snakemake that all these runs belong to; without the variable, with the process that started it.
Takes what `python -m models.train` takes, or before its arguments the name of another program's module.
"""

import contextlib
import fcntl
import importlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import yaml

from models.sources import modules_of

CALL = "TWIRL_CALL"
TRAIN = "models.train"
POLL = 0.2  # [s] between looks at what has ended
PATIENCE = 300  # [s] for the server to import everything on a busy machine
LONGEST = 1 << 20  # bytes of one message


def main(arguments: Sequence[str] | None = None) -> int:
    """Has one job done and returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0].startswith("-"):
        arguments.insert(0, TRAIN)
    with connected(own_folder()) as server:
        text = "\0".join([os.getcwd(), *arguments]).encode()
        socket.send_fds(server, [text], [sys.stdout.fileno(), sys.stderr.fileno()])
        answer = server.recv(16)
    if not answer:
        print("error: the process that starts trainings has ended; run again to resume", file=sys.stderr)
        return 1
    return int(answer)


def call() -> int:
    """The process whose end also ends the server."""
    return int(os.environ.get(CALL) or os.getppid())


def own_folder() -> Path:
    """The folder of a server's socket: one per user, call and number of threads, which importing torch fixes."""
    name = f"twirl-{os.getuid()}-{call()}-{os.environ.get('OMP_NUM_THREADS', 'all')}"
    folder = Path(tempfile.gettempdir(), name)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user: set TMPDIR to a folder of your own")
    return folder


def connected(folder: Path) -> socket.socket:
    """A connection to the folder's server, which is started if there is none."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return _connect(folder)
        with (folder / "log").open("w") as log:
            command = [sys.executable, "-m", "models.warm", "--serve", str(folder), str(call())]
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(int(PATIENCE / POLL)):
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                return _connect(folder)
            if server.poll() is not None:
                break
            time.sleep(POLL)
        sys.exit(f"error: no process to start trainings from:\n{(folder / 'log').read_text()}")


def _connect(folder: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(folder / "socket"))
    except OSError:
        connection.close()
        raise
    return connection


def serve(folder: Path, until: int) -> None:
    """Forks a process for every connection, as long as the process `until` or one of the forked processes lives."""
    importlib.import_module(TRAIN)
    path = folder / "socket"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        running: dict[int, socket.socket] = {}  # process -> the connection that waits for its exit status
        waiting: dict[int, socket.socket] = {}  # the connections that are still open
        while running or _lives(until):
            ready, _, _ = select.select([listener, *waiting.values()], [], [], POLL)
            if listener in ready:
                connection, _ = listener.accept()
                child = _fork(connection, [listener, *running.values()])
                running[child] = waiting[child] = connection
            for child in [child for child, connection in waiting.items() if connection in ready]:
                del waiting[child]  # a client sends nothing after its request, so this one has ended
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGTERM)
            while running:
                child, status = os.waitpid(-1, os.WNOHANG)
                if not child:
                    break
                waiting.pop(child, None)
                with running.pop(child) as connection, contextlib.suppress(OSError):
                    connection.send(str(_exit_status(status)).encode())
    shutil.rmtree(folder, ignore_errors=True)


def _import_classes(arguments: Sequence[str]) -> None:
    """Imports the classes that the settings name, for later runs too; errors are left for the run to report."""
    for word, file in pairwise(arguments):
        if word == "--config":
            with contextlib.suppress(Exception):
                for module in modules_of(yaml.safe_load(Path(file).read_text())):
                    importlib.import_module(module)


def _fork(connection: socket.socket, others: Sequence[socket.socket]) -> int:
    """The id of a process that does what a connection asks for."""
    text, outputs, _, _ = socket.recv_fds(connection, LONGEST, 2)
    folder, program, *arguments = text.decode().split("\0")
    os.chdir(folder)
    _import_classes(arguments)
    child = os.fork()
    if child:
        for output in outputs:
            os.close(output)
        return child
    status = 1
    try:
        for other in [connection, *others]:
            other.close()
        for number, output in zip((1, 2), outputs, strict=True):
            os.dup2(output, number)
            os.close(output)
        status = importlib.import_module(program).main(arguments) or 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _exit_status(status: int) -> int:
    """The exit status as a shell gives it: 128 plus the number for a signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(main())
