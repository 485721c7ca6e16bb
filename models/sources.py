"""Which code made a result: the files that a module imports, a digest of them, and the commit.

Everything is read from the source text without importing it, with the standard library only. An import counts wherever
it is in the file, also inside a function, but not below `if TYPE_CHECKING:`. A module names other files that it reads,
relative to its own folder: `READS = ("supplement/*.txt",)`. A package that imports on first use maps names to modules
in `_HOME`.
"""

import ast
import hashlib
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def digest(*entries: str, root: Path = ROOT) -> str:
    """A digest of the names and contents of all files on which modules, given by dotted names, depend."""
    return _digest(frozenset(entries), root)


def closure(*entries: str, root: Path = ROOT) -> list[Path]:
    """All our files on which modules depend, sorted and relative to `root`: their own, those of imports, those read.

    Entries of other packages are ignored. Raises ModuleNotFoundError for a module that our packages lack.
    """
    ours = [name for name in entries if _file(name.partition(".")[0], root)]
    for name in ours:
        if _file(name, root) is None:
            raise ModuleNotFoundError(f"there is no module {name} below {root}", name=name)
    found: set[str] = set()
    waiting = ours
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports(name, root)
    files = {file for name in found for file in (_file(name, root), *_read_by(name, root))}
    return sorted(file.relative_to(root) for file in files)


def modules_of(settings: Any) -> set[str]:
    """The modules of all classes that a configuration names, `class_path: package.module.Class`."""
    found = set()
    if isinstance(settings, Mapping):
        if isinstance(path := settings.get("class_path"), str):
            found.add(path.rpartition(".")[0])
        settings = settings.values()
    elif not isinstance(settings, list | tuple):
        return found
    return found.union(*(modules_of(part) for part in settings))


def training_modules(settings: Mapping) -> tuple[str, ...]:
    """The modules on which training a run depends: the loop and the classes that its settings name."""
    return ("models.train", *sorted(modules_of(settings)))


def commit() -> str | None:
    """The commit of our working tree, marked `+changes` if tracked files differ; None without a git of our own."""
    top = _git("rev-parse", "--show-toplevel")
    if not top or Path(top) != ROOT:
        return None
    return _git("describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None


@cache
def _digest(entries: frozenset[str], root: Path) -> str:
    state = hashlib.sha256()
    for file in closure(*entries, root=root):
        state.update(file.as_posix().encode() + b"\0" + (root / file).read_bytes())
    return state.hexdigest()[:16]


@cache
def _file(name: str, root: Path) -> Path | None:
    """The file of a module or package; None for one that is not ours."""
    path = root.joinpath(*name.split("."))
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return file
    return None


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_bytes(), str(file))


@cache
def _imports(name: str, root: Path) -> frozenset[str]:
    """Our modules that a module imports directly, with the packages that contain them and the module."""
    file = _file(name, root)
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    tree = _tree(file)
    found = {package} if package else set()
    bound = {}  # name in this module -> our package that it refers to
    for node in _nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.add(alias.name)
                first = alias.name.partition(".")[0]
                bound[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            found.add(base)
            for alias in node.names:
                found |= _members(base, alias.name, root)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in bound:
            found |= _members(bound[node.value.id], node.attr, root)
    with_packages = {part for module in found for part in _prefixes(module)}
    return frozenset(module for module in with_packages if _file(module, root) and module != name)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below one, except those that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _nodes(other)
        else:
            yield child
            yield from _nodes(child)


def _members(package: str, name: str, root: Path) -> set[str]:
    """The modules that `package.name` may refer to: a submodule, or the home of a name imported on first use."""
    file = _file(package, root)
    if file is None:
        return set()
    homes = _constant(_tree(file), "_HOME") or {}
    home = {f"{package}.{module}" for module, names in homes.items() if name in names.split()}
    return home | {f"{package}.{name}"}


def _prefixes(name: str) -> Iterable[str]:
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _read_by(name: str, root: Path) -> Iterator[Path]:
    """Other files that a module says it reads. Raises FileNotFoundError for a pattern that matches no file."""
    file = _file(name, root)
    for pattern in _constant(_tree(file), "READS") or ():
        found = [path for path in file.parent.glob(pattern) if path.is_file()]
        if not found:
            raise FileNotFoundError(f"{file}: READS names {pattern}, which matches no file")
        yield from found


def _constant(tree: ast.Module, name: str) -> Any:
    """The literal that a module assigns to a name; None without one."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in node.targets
        ):
            return ast.literal_eval(node.value)
    return None
