"""The catalogue: every output once, in the papers' order, and enough to say which runs each is made from."""

import importlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from analysis import catalogue
from analysis.catalogue import NAMED, OUTPUTS, by_name, shown
from tests.workflow.checkout import ROOT

HERE = Path(catalogue.__file__).parent


@dataclass(frozen=True)
class Planned:
    """A run that no tier has."""

    name: str
    system: str = "painn"
    dataset: str = "nbody"


def test_every_module_of_a_figure_or_table_has_one_row_and_every_row_its_module():
    modules = [f"analysis.{kind}s.{path.stem}" for kind in catalogue.FILES for path in _modules(kind)]
    assert sorted(output.module for output in OUTPUTS) == sorted(modules)
    for output in OUTPUTS:
        module = importlib.import_module(output.module)
        assert callable(module.draw if output.kind == catalogue.FIGURE else module.build)


def _modules(kind: str) -> list[Path]:
    return [path for path in (HERE / f"{kind}s").glob("*.py") if path.stem != "__init__"]


def test_outputs_come_in_the_papers_order():
    papers = [output.paper for output in OUTPUTS]
    assert papers == sorted(papers, key=["A", "B", None].index)
    for paper in ("A", "B"):
        for numbered in ("Figure", "Table"):
            places = [output.where for output in OUTPUTS if output.paper == paper]
            numbers = [int(found[1]) for where in places if (found := re.match(rf"{numbered} (\d+)", where))]
            assert numbers == sorted(numbers)
    assert OUTPUTS[0].where == "Figure 1E"


def test_every_output_says_where_it_is_from_and_which_claims_it_bears_on():
    assert all(bool(output.where) == (output.paper is not None) for output in OUTPUTS)
    assert all(set(output.required) <= set(output.runs) for output in OUTPUTS)
    assert all(output.claims for output in OUTPUTS if output.paper is not None)


def test_every_claim_that_an_output_bears_on_is_in_the_ledger():
    known = set(re.findall(r"^\| ([ABX]\d+) \|", (ROOT / "docs" / "claims.md").read_text(), re.MULTILINE))
    assert {claim for output in OUTPUTS for claim in output.claims} <= known


def test_a_new_network_on_particles_is_shown_where_networks_are_compared():
    run = Planned("nbody-new", "new")
    assert [output.name for output in OUTPUTS if output.wants(run)] == ["b_table2", "x3"]


def test_a_run_that_another_figure_names_stays_where_networks_are_compared(monkeypatch):
    figure = catalogue.Output("x99", catalogue.FIGURE, None, "", "A network's own figure", ("nbody-painn",))
    monkeypatch.setattr(catalogue, "NAMED", catalogue.NAMED | {*figure.runs})
    assert by_name("b_table2").wants(Planned("nbody-painn"))


def test_another_training_of_a_known_network_is_shown_in_table_two_alone():
    run = Planned("segnn-plain-official", "segnn")
    assert [output.name for output in OUTPUTS if output.wants(run)] == ["b_table2"]


def test_a_run_of_other_data_that_no_row_names_is_shown_nowhere():
    assert not any(output.wants(Planned("escaip-half", "escaip", "spice")) for output in OUTPUTS)


def test_a_tier_shows_what_its_runs_suffice_for():
    fig2 = by_name("a_fig2")
    others = [Planned(name, "escaip", "spice") for name in fig2.runs if name not in fig2.required]
    assert "a_fig2" not in [output.name for output in shown(others)]
    assert "a_landmarks" in [output.name for output in shown(others)]
    whole = [*others, Planned(*fig2.required, "escaip", "spice")]
    assert {"a_fig1e", "a_fig2", "a_fig6", "a_landmarks"} <= {output.name for output in shown(whole)}
    assert not shown([])
    assert "segnn-plain" in NAMED


def test_the_catalogue_imports_nothing_but_the_standard_library():
    code = (
        "import sys, analysis.catalogue; print([m for m in ('numpy', 'pandas', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
