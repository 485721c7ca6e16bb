"""Every system agrees with its official implementation on every parity case, to the stated tolerance.

A case is tests/parity/<system>.py's: `groups(case)` names its groups of outputs, `belongs(name, group)` says
which tensors they hold, `compute(case, group)` gives ours.
"""

import importlib

import pytest

from tests.parity.case import PARITY_DIR, ROOT, Case, discover, mismatches


def pytest_generate_tests(metafunc):
    cases = discover()
    if not cases:
        reason = f"no parity cases: {PARITY_DIR} is absent or empty (set PARITY_DIR)"
        metafunc.parametrize("case,group", [pytest.param(None, None, marks=pytest.mark.skip(reason=reason))])
        return
    pairs = []
    for case in cases:
        if (ROOT / "tests" / "parity" / f"{case.system}.py").exists():
            try:
                pairs += [(case, group) for group in _handler(case).groups(case)]
            except ValueError:
                pairs.append((case, "unknown kind"))
        elif (ROOT / "models" / case.system).exists():
            pairs.append((case, "no handler"))
        else:
            skip = pytest.mark.skip(
                reason=f"{case}: what it tests of {case.system} is not part of this repository yet"
            )
            pairs.append(pytest.param(case, "all", marks=skip))
    ids = [str(p.values[0]) if hasattr(p, "values") else f"{p[0]}-{p[1]}" for p in pairs]
    metafunc.parametrize("case,group", pairs, ids=ids)


def _handler(case: Case):
    return importlib.import_module(f"tests.parity.{case.system}")


def test_agrees_with_the_official_implementation(case, group):
    handler = _handler(case)
    assert group in handler.groups(case)
    expected = {k: v for k, v in case.tensors("outputs").items() if handler.belongs(k, group)}
    assert expected, f"{case}: no expected tensor in group {group}"
    if group == "float32":
        expected = {k: v for k, v in expected.items() if not k.startswith("grad")}
    assert not mismatches(handler.compute(case, group), expected)
