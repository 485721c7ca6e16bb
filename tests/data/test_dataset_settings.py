"""Every data set says its settings in a class that plans can hold blocks of configuration against."""

import subprocess
import sys

import pytest
import yaml

from data.elements import SYMBOLS
from data.settings import of_dataset, plain, schema
from data.validation import read
from tests.workflow.checkout import ROOT

DATASETS = sorted(path.parent.name for path in (ROOT / "data").glob("*/prepare.py"))
BLOCKS = [
    (path.stem, dataset, block)
    for path in sorted((ROOT / "config").glob("*.yaml"))
    for dataset, block in (yaml.safe_load(path.read_text()).get("data") or {}).items()
]


@pytest.mark.parametrize(
    ("tier", "dataset", "block"), BLOCKS, ids=lambda part: part if isinstance(part, str) else ""
)
def test_every_block_of_every_tier_is_accepted_and_kept(tier, dataset, block):
    kept = plain(read(of_dataset(dataset), block, f"config/{tier}.yaml: data.{dataset}"))
    assert {key: kept[key] for key in block if key != "files"} == {
        key: value for key, value in block.items() if key != "files"
    }
    assert [file["name"] for file in kept.get("files", [])] == [
        file["name"] for file in block.get("files", [])
    ]


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_field_is_described(dataset):
    for name, part in schema(of_dataset(dataset))["properties"].items():
        assert part.get("description"), name
        for inner, described in part.get("items", {}).get("properties", {}).items():
            assert described.get("description"), f"{name}.{inner}"


def test_settings_import_nothing_heavy():
    modules = [f"data.{dataset}.settings" for dataset in DATASETS]
    heavy = "numpy", "h5py", "torch", "rdkit", "ase", "lightning"
    code = f"import sys, {', '.join(modules)}; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_element_symbols_are_in_the_order_of_their_numbers():
    from ase.data import chemical_symbols

    assert list(SYMBOLS) == chemical_symbols[1:]
