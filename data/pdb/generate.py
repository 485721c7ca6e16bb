"""Protein-like C-alpha traces: secondary structure is drawn, then angles, and loops are bent until chains are compact.

Backbones have ideal geometry: fixed bond lengths and angles and trans peptide bonds, so that neighbouring C-alphas are
0.381 nm apart; phi and psi of helices, strands and loops scatter around the populated regions of the Ramachandran map.
"""

from collections.abc import Iterator

import numpy as np

from data.errors import DataError
from data.pdb.chains import Chain, globular_radius, radius_of_gyration

# Bond lengths [nm] and angles [degrees] between N, CA and C, in the order of the backbone.
BONDS = {"N": 0.1329, "CA": 0.1458, "C": 0.1525}  # to each atom from the one before
ANGLES = {"N": 117.2, "CA": 121.7, "C": 111.0}  # at the atom before each
# (phi, psi) [degrees], their spread, lengths of a stretch from-to, and share of the stretches.
KINDS = {
    "helix": ((-63.0, -43.0), 5.0, (7, 14), 0.45),
    "strand": ((-118.0, 132.0), 12.0, (4, 8), 0.55),
}
LOOP = (2, 5)  # residues between two stretches
LOOP_REGIONS = (((-68.0, 145.0), 0.45), ((-70.0, -30.0), 0.35), ((-110.0, 120.0), 0.15), ((57.0, 45.0), 0.05))
LOOP_SPREAD = 15.0
CONTACT = 0.4  # [nm]; C-alphas three or more residues apart are never nearer
STEPS = 300  # of bending; one loop residue each
ATTEMPTS = 8
_BATCH = 64


def generate(count: int, smallest: int, largest: int, seed: int) -> Iterator[Chain]:
    """`count` chains of `smallest` to `largest` residues. A chain depends on the seed and its number alone."""
    for first in range(0, count, _BATCH):
        numbers = list(range(first, min(first + _BATCH, count)))
        done: dict[int, np.ndarray] = {}
        for attempt in range(ATTEMPTS):
            missing = [k for k in numbers if k not in done]
            if missing:
                done |= _folded(missing, smallest, largest, seed, attempt)
        for k in numbers:
            if k not in done:
                raise DataError(
                    f"generated chain {k} has C-alphas on top of each other after {ATTEMPTS} attempts: use another "
                    "data.pdb.seed"
                )
            n = len(done[k])
            yield Chain(
                name=f"generated-{k:05d}",
                entry=f"generated-{k:05d}",
                chain="",
                coordinates=done[k],
                numbers=np.arange(1, n + 1),
                sequence="",
            )


def _folded(
    numbers: list[int], smallest: int, largest: int, seed: int, attempt: int
) -> dict[int, np.ndarray]:
    """C-alphas (n, 3) [nm] of the chains with these numbers, without those that keep a clash."""
    drawn = [_draw(np.random.default_rng([seed, k, attempt]), smallest, largest) for k in numbers]
    lengths = np.array([len(torsions) for torsions, *_ in drawn])
    # All batches are padded alike, so that rounding does not depend on which chains are in a batch.
    torsions = np.zeros((len(drawn), largest, 2))
    for row, (angles, *_) in enumerate(drawn):
        torsions[row, : len(angles)] = angles
    atoms = _backbone(torsions)
    atoms = _bent(atoms, torsions, lengths, [moves for _, moves in drawn])
    alphas = atoms[:, 1::3]
    clashes = _clashes(alphas, lengths)
    return {k: alphas[row, : lengths[row]].copy() for row, k in enumerate(numbers) if clashes[row] == 0}


def _draw(rng: np.random.Generator, smallest: int, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Torsions (n, 2) [radians] of one chain, and its moves (STEPS, 4): residue, new phi and psi, a uniform number."""
    n = int(rng.integers(smallest, largest + 1))
    angles, loops = np.empty((0, 2)), []
    shares = [share for *_, share in KINDS.values()]
    while len(angles) < n:
        centre, spread, (shortest, longest), _ = list(KINDS.values())[rng.choice(len(KINDS), p=shares)]
        stretch = rng.normal(centre, spread, (int(rng.integers(shortest, longest + 1)), 2))
        loop = _loop_angles(rng, int(rng.integers(LOOP[0], LOOP[1] + 1)))
        loops += range(len(angles) + len(stretch), len(angles) + len(stretch) + len(loop))
        angles = np.concatenate([angles, stretch, loop])
    loops = np.array([k for k in loops if k < n - 1] or [n // 2])
    moves = np.empty((STEPS, 4))
    moves[:, 0] = loops[rng.integers(0, len(loops), STEPS)]
    moves[:, 1:3] = np.radians(_loop_angles(rng, STEPS))
    moves[:, 3] = rng.random(STEPS)
    return np.radians(angles[:n]), moves


def _loop_angles(rng: np.random.Generator, count: int) -> np.ndarray:
    """Angles (phi, psi) of loop residues, (count, 2) [degrees]."""
    centres = np.array([centre for centre, _ in LOOP_REGIONS])
    chosen = rng.choice(len(centres), count, p=[share for _, share in LOOP_REGIONS])
    return centres[chosen] + rng.normal(0, LOOP_SPREAD, (count, 2))


def _backbone(torsions: np.ndarray) -> np.ndarray:
    """(B, 3n, 3) [nm]: atoms N, CA, C of every residue for torsions (B, n, 2), each placed by the three before it."""
    B, n, _ = torsions.shape
    names = ("N", "CA", "C")
    atoms = np.zeros((B, 3 * n, 3))
    atoms[:, 1] = [BONDS["CA"], 0, 0]
    bend = np.pi - np.radians(ANGLES["C"])
    atoms[:, 2] = atoms[:, 1] + BONDS["C"] * np.array([np.cos(bend), np.sin(bend), 0])
    for k in range(3, 3 * n):
        name, residue = names[k % 3], k // 3
        torsion = {  # about the bond before the last
            "N": torsions[:, residue - 1, 1],
            "CA": np.full(B, np.pi),
            "C": torsions[:, residue, 0],
        }[name]
        atoms[:, k] = _placed(
            atoms[:, k - 3], atoms[:, k - 2], atoms[:, k - 1], BONDS[name], np.radians(ANGLES[name]), torsion
        )
    return atoms


def _placed(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, bond: float, angle: float, torsion: np.ndarray
) -> np.ndarray:
    """The point at `bond` from c, `angle` with b and `torsion` with a: (B, 3)."""
    along = _unit(c - b)
    normal = _unit(np.cross(b - a, along))
    across = np.cross(normal, along)
    step = -np.cos(angle) * along + np.sin(angle) * (
        np.cos(torsion)[:, None] * across + np.sin(torsion)[:, None] * normal
    )
    return c + bond * step


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _bent(
    atoms: np.ndarray, torsions: np.ndarray, lengths: np.ndarray, moves: list[np.ndarray]
) -> np.ndarray:
    """Gives loop residues new angles one after the other; keeps those that make a chain compact, or do little harm.

    Annealing on `_badness`; torsions are updated in place.
    """
    rows, places = np.arange(len(atoms)), np.arange(atoms.shape[1])
    badness = _badness(atoms, lengths)
    for step, move in enumerate(np.stack(moves, axis=1)):
        residue, angles = move[:, 0].astype(int), move[:, 1:3]
        turns = angles - torsions[rows, residue]
        moved = atoms
        for turn, first in ((turns[:, 0], 3 * residue), (turns[:, 1], 3 * residue + 1)):
            start, end = moved[rows, first], moved[rows, first + 1]
            rotation = _about(_unit(end - start), turn)
            turned = (moved - end[:, None]) @ rotation.swapaxes(1, 2) + end[:, None]
            moved = np.where((places > first[:, None] + 1)[..., None], turned, moved)
        new = _badness(moved, lengths)
        temperature = 0.3 * (1 - step / STEPS) ** 2 + 1e-3
        kept = move[:, 3] < np.exp(np.minimum((badness - new) / temperature, 0.0))
        atoms = np.where(kept[:, None, None], moved, atoms)
        torsions[rows[kept], residue[kept]] = angles[kept]
        badness = np.where(kept, new, badness)
    return atoms


def _about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotation matrices (B, 3, 3) by angles (B,) about unit axes (B, 3)."""
    x, y, z = axis.T
    zero = np.zeros_like(x)
    K = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
    s, c = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.eye(3) + s * K + (1 - c) * K @ K


def _badness(atoms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(B,): excess of the radius of gyration over a globular protein's, in percent of it, and clashes."""
    alphas = atoms[:, 1::3]
    inside = np.arange(alphas.shape[1]) < lengths[:, None]
    excess = np.maximum(radius_of_gyration(alphas, inside) / globular_radius(lengths) - 1, 0)
    return 20 * excess + _clashes(alphas, lengths)


def _clashes(alphas: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(B,): pairs of C-alphas, three or more residues apart, that are nearer than CONTACT."""
    inner = alphas @ alphas.swapaxes(1, 2)
    norms = np.einsum("bii->bi", inner)
    near = norms[:, :, None] + norms[:, None] - 2 * inner < CONTACT**2
    places = np.arange(alphas.shape[1])
    inside = (places >= places[:, None] + 3) & (places < lengths[:, None, None])
    return (near & inside).sum((1, 2))
