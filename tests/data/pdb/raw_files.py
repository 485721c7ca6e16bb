"""Small structures in both formats, index files of an archive with a handful of entries, and the real structures."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from data.pdb.chains import LETTERS
from data.pdb.settings import INDEX

DATA_DIR = Path(os.environ.get("DATA_DIR", Path(__file__).parents[4] / "shared" / "data"))
BM5 = "640907e110cdc978404a512d5e7c56a8"
NAMES = {letter: name for name, letter in LETTERS.items()}
CIF = """data_TEST
_exptl.entry_id TEST
_exptl.method '{method}'
_refine.entry_id TEST
_refine.pdbx_refine_id 1
_refine.ls_d_res_high {resolution}
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.label_comp_id
_atom_site.label_asym_id
_atom_site.label_entity_id
_atom_site.label_seq_id
_atom_site.pdbx_PDB_ins_code
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
_atom_site.B_iso_or_equiv
_atom_site.auth_seq_id
_atom_site.auth_asym_id
_atom_site.pdbx_PDB_model_num
"""


def residue(k, name="ALA", chain="A", number=None, at=None, atoms=("N", "CA"), **more):
    """The atoms of one residue, on a line along x if `at` [Angstrom] does not say where.

    more: alternate location "alt", "occupancy", "insertion", "model", "record".
    """
    at = (3.8 * k, 0.0, 0.0) if at is None else at
    atom = {"alt": "", "occupancy": 1.0, "insertion": "", "model": 1, "record": "ATOM"} | more
    return [
        atom
        | {
            "name": kind,
            "residue": name,
            "chain": chain,
            "number": k + 1 if number is None else number,
            "at": tuple(np.add(at, (-1.4, 0, 0))) if kind == "N" else at,
        }
        for kind in atoms
    ]


def chain(n, chain_id="A", start=0, sequence=None):
    """The atoms of n residues along x."""
    names = [NAMES[letter] for letter in sequence] if sequence else ["ALA"] * n
    return [atom for k in range(n) for atom in residue(start + k, names[k], chain_id)]


def pdb(atoms, resolution=None):
    """The text of a PDB file."""
    lines = [] if resolution is None else [f"REMARK   2 RESOLUTION.    {resolution:.2f} ANGSTROMS."]
    model = None
    for k, atom in enumerate(atoms, 1):
        if atom["model"] != model and any(a["model"] != 1 for a in atoms):
            lines += ["ENDMDL"] * (model is not None) + [f"MODEL     {atom['model']:4}"]
        model = atom["model"]
        x, y, z = (f"{v:8.3f}" for v in atom["at"])
        element = "CA" if atom["residue"] == "CA" else atom["name"][0]
        padded = f"{atom['name']:<4}" if element == "CA" else f" {atom['name']:<3}"
        lines.append(
            f"{atom['record']:<6}{k:5} {padded}{atom['alt'] or ' '}{atom['residue']:>3} "
            f"{atom['chain']}{atom['number']:4}{atom['insertion'] or ' '}   {x}{y}{z}{atom['occupancy']:6.2f}{10:6.2f}"
            f"          {element:>2}"
        )
    return "\n".join([*lines, "END", ""])


def cif(atoms, method="X-RAY DIFFRACTION", resolution=2.0):
    """The text of an mmCIF file."""
    rows = [
        f"{a['record']} {k} {a['name'][0]} {a['name']} {a['alt'] or '.'} {a['residue']} Z{a['chain']} 1 {k} "
        f"{a['insertion'] or '?'} {' '.join(f'{v:.3f}' for v in a['at'])} {a['occupancy']} 10.0 {a['number']} "
        f"{a['chain']} {a['model']}"
        for k, a in enumerate(atoms, 1)
    ]
    return CIF.format(method=method, resolution=resolution) + "\n".join(rows) + "\n#\n"


def write(path, text):
    """A file, gzipped if its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 1) if path.suffix == ".gz" else text.encode())
    return path


def real_archive():
    """Path of the 460 real structures; skips the test where they are not."""
    path = DATA_DIR / "dvc-remote" / "files" / "md5" / BM5[:2] / BM5[2:]
    if not path.exists():
        pytest.skip(f"bm5_unbound.tar.gz is not at {path}: set DATA_DIR to the folder that holds dvc-remote")
    return path


# What the archive's index says of each entry: chain -> (molecule type, sequence), kind of experiment, resolution.
LONG, SHORT = "ACDEFGHIKLMNPQRSTVWY" * 5, "ACDEFGHIKLMNPQRSTVWY"
ARCHIVE = {
    "1aaa": ({"A": ("protein", LONG), "B": ("protein", LONG[:60])}, "diffraction", "2.000"),
    "1bbb": ({"A": ("protein", LONG[1:]), "N": ("na", "ACGT" * 20)}, "EM", "4.900"),
    "2ccc": ({"A": ("protein", LONG)}, "NMR", "-1.00"),
    "2ddd": ({"A": ("protein", LONG)}, "diffraction", "5.100"),
    "2eee": ({"A": ("protein", LONG)}, "diffraction", ""),
    "3fff": ({"A": ("protein", LONG.replace("A", "X"))}, "diffraction", "1.500"),
    "3ggg": ({"A": ("protein", SHORT), "L": ("protein", LONG * 3)}, "diffraction", "1.500"),
    "4hhh": ({"A": ("protein", LONG)}, "EM", "3.000"),
    "5iii": ({"A": ("protein", LONG[2:])}, "diffraction", "2.500"),
}


def write_index(raw):
    """The four index files of ARCHIVE; 4hhh is in no single file."""
    rows = [
        (entry, chain_id, kind, text)
        for entry, (chains, _, _) in ARCHIVE.items()
        for chain_id, (kind, text) in chains.items()
    ]
    sequences = "".join(
        f">{e}_{c} mol:{kind} length:{len(text)}  SOME NAME\n{text}\n" for e, c, kind, text in rows
    )
    write(raw / "pdb_seqres.txt.gz", sequences)
    write(raw / "pdb_entry_type.txt", "".join(f"{e}\tprot\t{kind}\n" for e, (_, kind, _) in ARCHIVE.items()))
    resolutions = "".join(f"{e.upper()}\t;\t{r}\n" for e, (_, _, r) in ARCHIVE.items())
    heading = "PROTEIN DATA BANK LIST\n\nIDCODE       RESOLUTION\n------  -    ----------\n"
    write(raw / "resolu.idx", heading + resolutions)
    write(raw / "pdb_bundle_index.txt", "4hhh\n")
    return [{"name": name} for name in INDEX]


def write_entries(folder):
    """The archive's structures, flat, as its download address has them; 5iii is there no longer."""
    for entry, (chains, kind, _) in ARCHIVE.items():
        if entry != "5iii":
            atoms = [
                atom
                for chain_id, (_, text) in chains.items()
                for atom in chain(min(len(text), 60), chain_id, sequence=text.replace("X", "A")[:60])
            ]
            write(
                folder / f"{entry}.cif.gz",
                cif(atoms, {"EM": "ELECTRON MICROSCOPY"}.get(kind, "X-RAY DIFFRACTION")),
            )
    return folder
