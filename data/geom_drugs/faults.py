"""Molecules and conformers that are left out of a store: one sentence for each, counted by reason."""

from collections.abc import Iterable
from dataclasses import dataclass

from data.geom_drugs.store import Ensemble

UNREADABLE = "archive member cannot be read"
UNPARSABLE = "unparsable SMILES"
FRAGMENTS = "several fragments"
NOT_EMBEDDED = "ETKDG finds no conformer"
NO_FORCE_FIELD = "MMFF94s has no parameters"
NOT_RELAXED = "MMFF94s did not converge"
NOT_CONVERGED = "GFN2-xTB did not converge"
DUPLICATE = "duplicate of another conformer"
TOO_LARGE = "atoms beyond max_radius"
NO_CONFORMER = "no conformer"
NOT_FINITE = "coordinates that are not numbers"
NOT_PROCESSED = "RDKit cannot process it"
OTHER_ATOMS = "other atoms than the first conformer"
NOT_ITS_SMILES = "bonds are not those of the SMILES"
EXAMPLES = 5


@dataclass(frozen=True)
class Fault:
    """Why a molecule is not in the store, or why some conformers of a stored molecule are not."""

    reason: str
    sentence: str
    molecules: int = 1
    conformers: int = 0


@dataclass(frozen=True)
class Made:
    """An ensemble, or None, and the faults for which something was left out."""

    ensemble: Ensemble | None
    faults: tuple[Fault, ...] = ()


class LeftOut:
    """Faults by reason."""

    def __init__(self) -> None:
        self._by_reason: dict[str, dict] = {}

    def add(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            entry = self._by_reason.setdefault(
                fault.reason, {"molecules": 0, "conformers": 0, "examples": []}
            )
            entry["molecules"] += fault.molecules
            entry["conformers"] += fault.conformers
            if len(entry["examples"]) < EXAMPLES:
                entry["examples"].append(fault.sentence)

    def as_dict(self) -> dict[str, dict]:
        """Reason -> molecules left out, conformers left out of others, and the first sentences."""
        return dict(sorted(self._by_reason.items()))
