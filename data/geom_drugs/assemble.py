"""Ensembles from the conformers of a source; conformers that cannot be used are left out."""

from collections.abc import Callable, Sequence

import numpy as np
from rdkit import Chem

from data.chemistry import Quiet
from data.geom_drugs import faults
from data.geom_drugs.faults import Fault, Made
from data.geom_drugs.graphs import Graph, graph_in_space, graph_of, parsed_smiles, same_graph
from data.geom_drugs.store import Ensemble
from data.units import HARTREE, KCAL


def ensemble_of_molecules(
    record: str,
    smiles: str,
    split: str,
    sources: Sequence[Callable[[], Chem.Mol]],
    energies: Sequence[float],
    weights: Sequence[float],
    limit: int | None = None,
) -> Made:
    """The ensemble of one molecule, from RDKit molecules with one conformer each; the first one gives the graph.

    sources: functions that return these molecules, or raise AttributeError, RuntimeError or ValueError. record: the
    name of the molecule in sentences. limit: see `is_complete`.
    """
    left_out: list[Fault] = []

    def lost(reason: str, sentence: str) -> None:
        left_out.append(Fault(reason, f"{record}, {sentence}", molecules=0, conformers=1))

    with Quiet():
        if parsed_smiles(smiles) is None:
            return Made(None, (Fault(faults.UNPARSABLE, f"{record} has the unparsable SMILES {smiles!r}"),))
        graph, kept, positions, same = None, [], [], []
        for k, source in enumerate(sources):
            if is_complete(kept, split, limit):
                break
            try:
                molecule = source()
                x = molecule.GetConformer().GetPositions()
                if len(x) == 0:
                    raise ValueError("no atoms")
            except (AttributeError, RuntimeError, ValueError) as error:
                lost(faults.UNREADABLE, f"conformer {k}: no molecule with a conformer ({first_line(error)})")
                continue
            if not np.isfinite(x).all():
                lost(faults.NOT_FINITE, f"conformer {k}: coordinates that are not numbers")
                continue
            try:
                own = graph_in_space(molecule) if graph is None else graph_of(molecule)
            except (RuntimeError, ValueError) as error:
                lost(faults.NOT_PROCESSED, f"conformer {k}: no graph can be told ({first_line(error)})")
                continue
            graph = own if graph is None else graph
            if not np.array_equal(own.atomic_numbers, graph.atomic_numbers):
                lost(faults.OTHER_ATOMS, f"conformer {k}: other atoms than the first conformer")
                continue
            kept.append(k)
            positions.append(x)
            same.append(same_graph(own, graph))
        return assembled(record, smiles, split, graph, kept, positions, same, energies, weights, left_out)


def is_complete(kept: Sequence[int], split: str, limit: int | None) -> bool:
    """Whether `kept` are enough: `limit` conformers, or all of them for a test molecule."""
    return limit is not None and split != "test" and len(kept) >= limit


def assembled(
    record: str,
    smiles: str,
    split: str,
    graph: Graph,
    kept: Sequence[int],
    positions: Sequence[np.ndarray],
    same: Sequence[bool],
    energies: Sequence[float],
    weights: Sequence[float],
    left_out: Sequence[Fault],
) -> Made:
    """The ensemble of the `kept` conformers, whose positions (n, 3) and `same` as `graph` are given for these alone.

    energies [kcal/mol] and weights belong to all conformers; weights that cannot be weights are replaced by equal ones.
    """
    if not kept:
        return Made(None, (*left_out, Fault(faults.NO_CONFORMER, f"{record} ({smiles}) has no conformer")))
    energies, weights = np.array(energies, dtype=float)[kept], np.array(weights, dtype=float)[kept]
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.sum() > 0):
        weights = np.ones(len(kept))
    ensemble = Ensemble(
        smiles=smiles,
        positions=np.array(positions),
        energies=energies - energies.min(),
        weights=weights / weights.sum(),
        same_graph=np.array(same),
        split=split,
        **vars(graph),
    )
    return Made(ensemble, tuple(left_out))


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return str(error).strip().split("\n")[0]


def unreadable(record: str, error: Exception) -> Made:
    """Stands for a molecule whose bytes cannot be read."""
    return Made(None, (Fault(faults.UNREADABLE, f"{record} is damaged ({type(error).__name__}: {error})"),))


def not_processed(record: str, error: Exception) -> Made:
    """Stands for a molecule on which RDKit fails, so that the others can go on."""
    return Made(None, (Fault(faults.NOT_PROCESSED, f"{record}: RDKit fails ({first_line(error)})"),))


def relative_energy(state: dict) -> float:
    """Relative energy [kcal/mol], from the total energy [hartree] where the relative one is missing."""
    if "relativeenergy" in state:
        return float(state["relativeenergy"])
    return float(state["totalenergy"]) * HARTREE / KCAL
