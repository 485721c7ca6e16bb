"""Checkouts whose jobs are stand-ins: one that nothing has run in, one whose smoke tier is finished."""

import shutil
from pathlib import Path

import pytest

from tests.workflow.checkout import Checkout, copy_workflow


@pytest.fixture
def fresh(tmp_path: Path) -> Checkout:
    """Nothing has run in it."""
    return copy_workflow(tmp_path / "checkout")


@pytest.fixture(scope="session")
def _finished_once(tmp_path_factory) -> Path:
    checkout = copy_workflow(tmp_path_factory.mktemp("finished") / "checkout")
    checkout.run()
    return checkout.folder


@pytest.fixture
def finished(_finished_once: Path, tmp_path: Path) -> Checkout:
    """Its smoke tier has run to the end."""
    return Checkout(Path(shutil.copytree(_finished_once, tmp_path / "checkout")))
