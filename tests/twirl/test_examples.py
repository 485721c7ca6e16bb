"""What a stranger meets first: an example in every docstring, each of which holds, and an import that is light."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest
import torch

import twirl

MODULES = ["twirl", *(module.name for module in pkgutil.walk_packages(twirl.__path__, "twirl."))]


def without_example(module: ModuleType) -> list[str]:
    """Public functions and classes that a module defines whose docstrings have no example."""
    own = {
        name: thing
        for name, thing in vars(module).items()
        if (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__ == module.__name__
    }
    return sorted(
        name for name, thing in own.items() if not name.startswith("_") and ">>>" not in (thing.__doc__ or "")
    )


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_and_class_has_an_example(name):
    assert not without_example(importlib.import_module(name))


def test_a_function_without_an_example_is_found():
    module = ModuleType("made_up")
    exec(
        'def told():\n    """>>> told()"""\n'
        'def untold():\n    """Says nothing."""\n'
        "class Silent: pass\n"
        "def _private(): pass\n",
        vars(module),
    )
    assert without_example(module) == ["Silent", "untold"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name):
    """As for a reader who has imported torch and twirl, and takes other names from the module."""
    module = importlib.import_module(name)
    torch.manual_seed(0)
    result = doctest.testmod(module, extraglobs={"torch": torch, "twirl": twirl})
    assert result.failed == 0


def test_the_example_in_the_package_docstring_runs():
    result = doctest.testmod(twirl)
    assert result.attempted >= 5
    assert result.failed == 0


def test_the_example_is_short():
    lines = [line for line in twirl.__doc__.splitlines() if line.startswith(">>>")]
    assert len(lines) <= 12


def test_importing_twirl_loads_no_optional_package():
    code = (
        "import sys, twirl; twirl.decompose, twirl.IrrepsRep, twirl.Twirled, twirl.gradient_ratio;"
        "print([m for m in ('lightning', 'e3nn', 'torchmetrics') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(set(twirl.__all__) - {"EquivarianceMonitor"}))
def test_every_public_name_exists_and_says_what_it_is(name):
    assert getattr(twirl, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'twist_and_shout'"):
        _ = twirl.twist_and_shout
