"""C-alpha chains, as every source gives them: their breaks, parts and sizes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

# One letter for each residue name that is read; other names are not residues of a chain.
LETTERS = {
    "ALA": "A", "ARG": "R", "ASN": "N", "ASP": "D", "CYS": "C", "GLN": "Q", "GLU": "E", "GLY": "G", "HIS": "H",
    "ILE": "I", "LEU": "L", "LYS": "K", "MET": "M", "PHE": "F", "PRO": "P", "SER": "S", "THR": "T", "TRP": "W",
    "TYR": "Y", "VAL": "V",
}  # fmt: skip
GAP = 0.45  # [nm] between C-alphas that no peptide bond joins


@dataclass(frozen=True)
class Chain:
    """n residues that have a C-alpha, in the order of the sequence.

    name: unique in a store. entry, chain: the structure and the chain in it, as its authors name it. coordinates:
    (n, 3) f8 [nm]. numbers: (n,), the authors', which may be negative, repeat (insertion codes are not kept) or jump.
    sequence: n letters. seqres: the letters of the whole molecule, resolved or not, "" if unknown. method:
    "diffraction", "EM", "NMR", "other" or "" if unknown. resolution: [Angstrom], nan if unknown.
    """

    name: str
    entry: str
    chain: str
    coordinates: np.ndarray
    numbers: np.ndarray
    sequence: str
    seqres: str = ""
    method: str = ""
    resolution: float = float("nan")

    def __len__(self) -> int:
        return len(self.coordinates)

    def breaks(self, gap: float = GAP) -> np.ndarray:
        """Residues (k,) that are more than `gap` [nm] away from the next."""
        return np.flatnonzero(np.linalg.norm(np.diff(self.coordinates, axis=0), axis=1) > gap)

    def part(self, name: str, rows: slice) -> "Chain":
        """Some of the residues, as a chain with a name of its own."""
        return replace(
            self,
            name=name,
            coordinates=self.coordinates[rows],
            numbers=self.numbers[rows],
            sequence=self.sequence[rows],
        )


def radius_of_gyration(points: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Root mean square distance from the mean, in the unit of the points: (..., n, 3) -> (...,).

    inside: (..., n), which points count; None: all.
    """
    weights = np.ones(points.shape[:-1], dtype=bool) if inside is None else inside
    count = weights.sum(-1)
    mean = (points * weights[..., None]).sum(-2) / count[..., None]
    squared = np.square(points - mean[..., None, :]).sum(-1)
    return np.sqrt((squared * weights).sum(-1) / count)


def globular_radius(residues: int | np.ndarray) -> float | np.ndarray:
    """Radius of gyration [nm] of a globular protein: 0.22 n^0.38."""
    return 0.22 * residues**0.38


def segments(chain: Chain, gap: float | None) -> Iterator[Chain]:
    """The stretches between gaps of more than `gap` [nm]: name.1, name.2, ...; the chain itself if there is no gap."""
    ends = [] if gap is None else (chain.breaks(gap) + 1).tolist()
    if not ends:
        yield chain
        return
    for k, (first, last) in enumerate(zip([0, *ends], [*ends, len(chain)], strict=True), 1):
        yield chain.part(f"{chain.name}.{k}", slice(first, last))
