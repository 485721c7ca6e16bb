"""Units: CODATA factors, and the factor of a stored array by the unit that it declares."""

from data.errors import DataError

BOHR = 0.529177210903  # [Angstrom]
HARTREE = 27.211386245988  # [eV]
KCAL = 0.0433641153087705  # one kcal/mol in [eV]
BOLTZMANN = 0.00198720425864083  # [kcal/mol/K]

LENGTH = {"bohr": BOHR, "angstrom": 1.0, "nanometers": 10.0}
ENERGY = {"hartree": HARTREE, "ev": 1.0}
GRADIENT = {"hartree/bohr": HARTREE / BOHR, "ev/angstrom": 1.0}


def factor(unit: str | bytes | None, known: dict[str, float], record: str) -> float:
    """One `unit` in [Angstrom], [eV] or [eV/Angstrom]. record: the place of the unit, for the error."""
    if unit is None:
        raise DataError(
            f"{record} has no attribute 'units' (one of {', '.join(known)}): fetch the file again"
        )
    name = unit.decode() if isinstance(unit, bytes) else str(unit)
    if name.lower() not in known:
        raise DataError(
            f"{record} is in units '{name}', not one of {', '.join(known)}: convert the file first"
        )
    return known[name.lower()]
