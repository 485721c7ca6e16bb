"""Files of generated chains, and a report on them that needs no other network (spec proteina.md section 7)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.files import replacing
from data.pdb.chains import globular_radius, radius_of_gyration

ANGSTROM = 10.0  # per nanometre
BOND = 3.8  # between neighbouring C-alpha atoms of a chain [Angstrom]
BOND_TOLERANCE = 0.2
CLASH = 2.0  # two C-alpha atoms of a protein are never this close [Angstrom]
LARGEST = 9999.999  # largest coordinate that the format's columns can hold


def write_calpha(path: Path, points: np.ndarray, remark: str = "") -> None:
    """A PDB file with the C-alpha atoms of one chain A, residues 1..n, all called alanine.

    points: (n, 3) [Angstrom]. The file is written atomically. Errors: ValueError, naming the file, for coordinates or
    lengths that the format's columns cannot hold.
    """
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1:] != (3,) or not 0 < len(points) < 10_000:
        raise ValueError(
            f"{path}: a chain has 1 to 9999 residues with three coordinates, not shape {points.shape}"
        )
    if not np.isfinite(points).all() or np.abs(points).max() > LARGEST:
        raise ValueError(
            f"{path}: a coordinate is not finite or beyond {LARGEST} Angstrom, which PDB files cannot hold"
        )
    lines = [f"REMARK   1 {line}"[:80] for line in remark.splitlines()]
    lines += [
        f"ATOM  {i:5d}  CA  ALA A{i:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
        for i, (x, y, z) in enumerate(points, start=1)
    ]
    lines += [f"TER   {len(points) + 1:5d}      ALA A{len(points):4d}", "END"]
    with replacing(Path(path)) as temporary:
        temporary.write_text("".join(f"{line:80}\n" for line in lines))


def bonds(points: np.ndarray) -> np.ndarray:
    """Distances of consecutive points: (n - 1,)."""
    return np.linalg.norm(np.diff(points, axis=0), axis=1)


def clashes(points: np.ndarray, within: float = CLASH) -> int:
    """Pairs of points that are closer than `within`, neighbours in the chain included."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    first, second = np.triu_indices(len(points), k=1)
    return int((distances[first, second] < within).sum())


def describe(points: np.ndarray) -> dict[str, float]:
    """One chain (n, 3) [Angstrom]: residues, radius of gyration, its bonds, its clashes."""
    lengths = bonds(points)
    return {
        "residues": len(points),
        "radius_of_gyration": float(radius_of_gyration(points)),
        "bond_mean": float(lengths.mean()),
        "bond_std": float(lengths.std()),
        "clashes": clashes(points),
    }


def report(chains: Sequence[np.ndarray]) -> dict:
    """Statistics over samples (n, 3) [Angstrom] of at least two residues.

    radius_over_native: mean ratio of the radius of gyration to that of folded proteins, 2.2 n^0.38 Angstrom.
    bonds: mean, standard deviation, quantiles and the share within 3.8 +- 0.2 Angstrom. clash_rate: pairs closer than
    2 Angstrom, per residue; chains_with_clashes: share.
    """
    each = [describe(points) for points in chains]
    lengths = np.concatenate([bonds(points) for points in chains])
    residues = sum(row["residues"] for row in each)
    native = [ANGSTROM * globular_radius(row["residues"]) for row in each]
    quantiles = np.quantile(lengths, [0.01, 0.25, 0.5, 0.75, 0.99])
    return {
        "unit": "Angstrom",
        "chains": len(each),
        "residues": residues,
        "radius_of_gyration": float(np.mean([row["radius_of_gyration"] for row in each])),
        "radius_over_native": float(
            np.mean([row["radius_of_gyration"] / of for row, of in zip(each, native, strict=True)])
        ),
        "bonds": {
            "mean": float(lengths.mean()),
            "std": float(lengths.std()),
            "quantiles_1_25_50_75_99": [float(q) for q in quantiles],
            "within_tolerance": float((np.abs(lengths - BOND) <= BOND_TOLERANCE).mean()),
        },
        "clash_rate": sum(row["clashes"] for row in each) / residues,
        "chains_with_clashes": float(np.mean([row["clashes"] > 0 for row in each])),
    }
