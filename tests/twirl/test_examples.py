"""What a stranger meets first: the example of the package, and an import that is light."""

import doctest
import subprocess
import sys

import pytest

import twirl


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
