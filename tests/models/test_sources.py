"""The files that a result depends on are found from its imports: all of them, and no others."""

import subprocess
import sys
from pathlib import Path

import pytest

from models import sources
from models.sources import ROOT, closure, digest, modules_of, training_modules
from workflow import plan

PREPARATIONS = sorted(path.parent.name for path in (ROOT / "data").glob("*/prepare.py"))
FIGURES = sorted(path.stem for path in (ROOT / "analysis/figures").glob("[abx]*.py"))


def tree(folder: Path, **files: str) -> Path:
    """Modules by dotted name, where `__` stands for a slash and `_init` for `__init__`."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/").replace("_init", "__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def found(root: Path, *entries: str) -> set[str]:
    return {path.as_posix() for path in closure(*entries, root=root)}


def systems() -> dict[str, tuple[str, ...]]:
    """Every system, and the modules of one of its runs."""
    return {run.system: training_modules(run.settings) for run in plan.load({"tier": "mini"}).runs}


def loaded(modules: tuple[str, ...]) -> set[str]:
    """The files of ours that Python really loads for some modules."""
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(*[m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)], sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = {Path(line) for line in done.stdout.splitlines()}
    ours = ("twirl", "data", "models", "analysis")
    inside = {path.relative_to(ROOT) for path in paths if path.is_relative_to(ROOT)}
    return {path.as_posix() for path in inside if path.parts[0] in ours}


def test_imports_are_followed_wherever_they_stand(tmp_path):
    root = tree(
        tmp_path,
        a___init="",
        a__entry="import os\nfrom a.first import f\ndef g():\n    from a import lazy\n    import b.deep as d",
        a__first="from a import second",
        a__second="",
        a__lazy="",
        a__stranger="",
        b___init="from b import beside",
        b__deep="",
        b__beside="",
    )
    names = "a/__init__ a/entry a/first a/second a/lazy b/__init__ b/deep b/beside"
    assert found(root, "a.entry") == {f"{name}.py" for name in names.split()}


def test_what_only_type_checkers_see_is_no_import(tmp_path):
    text = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a.typed\nelse:\n    import a.real\n"
    )
    root = tree(tmp_path, a___init="", a__entry=text, a__typed="", a__real="")
    assert found(root, "a.entry") == {"a/__init__.py", "a/entry.py", "a/real.py"}


def test_relative_imports_are_followed(tmp_path):
    root = tree(
        tmp_path,
        a___init="",
        a__b___init="",
        a__b__entry="from . import c\nfrom ..d import e",
        a__b__c="",
        a__d="",
    )
    assert {"a/b/c.py", "a/d.py"} < found(root, "a.b.entry")


def test_a_name_that_a_package_imports_on_first_use_leads_to_its_home(tmp_path):
    lazy = '_HOME = {"x": "X Y", "z": "Z"}\ndef __getattr__(name): ...'
    root = tree(
        tmp_path,
        a___init=lazy,
        a__x="",
        a__z="",
        user="from a import Y",
        reader="import a as p\np.Z()",
        idle="import a",
    )
    assert found(root, "user") == {"user.py", "a/__init__.py", "a/x.py"}
    assert found(root, "reader") == {"reader.py", "a/__init__.py", "a/z.py"}
    assert found(root, "idle") == {"idle.py", "a/__init__.py"}


def test_files_that_a_module_reads_belong_to_it(tmp_path):
    root = tree(tmp_path, a___init="", a__entry='READS = ("tables/*.csv",)')
    with pytest.raises(FileNotFoundError, match=r"READS names tables/\*\.csv"):
        closure("a.entry", root=root)
    (tmp_path / "a/tables").mkdir()
    (tmp_path / "a/tables/t.csv").write_text("1")
    sources._digest.cache_clear()
    before = digest("a.entry", root=root)
    assert "a/tables/t.csv" in found(root, "a.entry")
    (tmp_path / "a/tables/t.csv").write_text("2")
    sources._digest.cache_clear()
    assert digest("a.entry", root=root) != before


def test_classes_that_settings_name_are_found_at_any_depth():
    settings = {
        "model": {
            "class_path": "models.x.task.Task",
            "init_args": {"relaxation": {"class_path": "twirl.r.R"}},
        },
        "callbacks": [{"class_path": "models.y.Watch"}],
    }
    assert modules_of(settings) == {"models.x.task", "twirl.r", "models.y"}


def test_a_module_that_is_not_there_is_named_and_another_packages_passed_over(tmp_path):
    root = tree(tmp_path, a___init="")
    with pytest.raises(ModuleNotFoundError, match=r"no module a\.task"):
        closure("a.task", root=root)
    assert found(root, "a", "torch.optim") == {"a/__init__.py"}


@pytest.mark.parametrize("system", systems())
def test_training_depends_on_everything_that_python_loads_for_it(system):
    modules = systems()[system]
    assert loaded(modules) <= found(ROOT, *modules)


@pytest.mark.parametrize("dataset", PREPARATIONS)
def test_a_preparation_depends_on_everything_that_python_loads_for_it(dataset):
    assert loaded((f"data.{dataset}.prepare",)) <= found(ROOT, f"data.{dataset}.prepare")


def test_a_system_depends_on_no_other_systems_files():
    for system, modules in systems().items():
        of_others = [name for name in systems() if name != system]
        assert not [
            path
            for path in found(ROOT, *modules)
            if path.startswith(tuple(f"models/{o}/" for o in of_others))
        ]


def test_measurements_of_trained_networks_are_no_part_of_training():
    for modules in systems().values():
        assert not [path for path in found(ROOT, *modules) if "measure" in path]


def test_a_figure_depends_on_no_other_figure():
    for name in FIGURES:
        drawn = {
            path for path in found(ROOT, "analysis.render", f"analysis.figures.{name}") if "/figures/" in path
        }
        assert drawn == {"analysis/figures/__init__.py", f"analysis/figures/{name}.py"}


def test_the_papers_numbers_belong_to_what_reads_them():
    assert {"analysis/reference/paper_a.yaml", "analysis/reference/landmarks.csv"} < found(
        ROOT, "analysis.reference.printed"
    )
    assert "data/mocap/supplement/35_05_frames_1-9.txt" in found(ROOT, "data.mocap.prepare")


def test_the_commit_is_that_of_our_own_repository(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.email=a@b.c", "-c", "user.name=n"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "a project"], check=True)
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    assert len(sources.commit()) == 12
    inside = tmp_path / "unpacked"
    inside.mkdir()
    monkeypatch.setattr(sources, "ROOT", inside)
    assert sources.commit() is None
