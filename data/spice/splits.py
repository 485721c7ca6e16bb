"""Train and test splits by molecule, so that no test molecule was trained on."""

from collections.abc import Sequence

from data.digest import name_digest


def held_out(names: Sequence[str], fraction: float, seed: int) -> set[str]:
    """round(fraction * len(names)) of the names, at least one where there are two, drawn from (seed, name).

    Independent of the order of the names, and nearly independent of which other names there are.
    """
    count = min(max(round(fraction * len(names)), 1), len(names) - 1)
    return set(sorted(names, key=lambda name: name_digest(name, seed))[:count])
