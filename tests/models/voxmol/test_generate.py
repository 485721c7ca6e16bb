"""From densities to molecules on disk: bonds, what is refused and why, the command and its files."""

import json

import pytest
import torch

pytest.importorskip("rdkit")

from rdkit import Chem

from models.train import main as train
from models.voxmol.atoms import Atoms, find_peaks, refine
from models.voxmol.generate import main
from models.voxmol.molecules import CLOSEST, Collection, UnbondedError, bonded, distinct
from models.voxmol.settings import GridConfig
from models.voxmol.voxels import voxelise
from tests.models.training.run_files import write_run
from tests.models.voxmol.densities import configuration, write_molecules

# Formaldehyde, C H H O [Angstrom].
SITES = torch.tensor([[0.0, 0.0, -0.53], [0.94, 0.0, -1.12], [-0.94, 0.0, -1.12], [0.0, 0.0, 0.68]])
CHANNELS = torch.tensor([0, 1, 1, 2])
CROWDED = 1.05 * torch.tensor([[0.0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]])  # CH5


def test_a_density_becomes_the_molecule_it_was_made_of():
    grid, sites = GridConfig(size=24), SITES + torch.tensor([0.06, -0.11, 0.03])
    density = voxelise(sites[None], CHANNELS[None], grid, 3)[0]
    atoms = refine(find_peaks(density, grid), density, grid)
    assert Chem.MolToSmiles(Chem.RemoveHs(bonded(atoms))) == "C=O"


def test_what_makes_no_molecule_is_refused_by_reason_and_counted():
    found = Collection()
    for atoms in (
        Atoms(SITES, CHANNELS),
        Atoms(SITES + 1.0, CHANNELS),
        Atoms(SITES[:0], CHANNELS[:0]),
        Atoms(SITES * 4, CHANNELS),
        Atoms(CROWDED, torch.tensor([0, 1, 1, 1, 1, 1])),
        Atoms(torch.randn(200, 3), torch.zeros(200).long()),
    ):
        found.add(atoms)
    refused = {"no peaks": 1, "several pieces": 1, "200 peaks or more": 1, "no bond orders fit": 1}
    report = found.report()
    assert report["refused"] == refused
    assert (report["densities"], report["valid"], report["unique"]) == (6, 2, 1)
    assert report["validity"] == pytest.approx(1 / 3)
    assert report["uniqueness"] == 0.5
    with pytest.raises(UnbondedError, match="no peaks"):
        bonded(Atoms(SITES[:0], CHANNELS[:0]))


def test_of_atoms_that_are_too_close_one_stays():
    near = torch.tensor([[0.0, 0, 0], [0.3, 0, 0], [5.0, 0, 0], [5.0, 0.9 * CLOSEST, 0], [5.0, 0, 2]])
    assert distinct(near) == [0, 2, 4]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    path = write_run(tmp_path, configuration(write_molecules(tmp_path / "x.h5"), steps=2))
    train(["--config", str(path)])
    return path.parent


def test_a_run_generates_files_and_a_report_and_the_same_ones_again(run, capsys):
    options = ["--chains", "2", "--steps", "4", "--every", "2", "--repeats", "1", "--device", "cpu"]
    written = []
    for out in ("a", "b"):
        assert main(["--run", str(run), *options, "--out", str(run / out)]) == 0
        written.append((run / out / "atoms.xyz").read_text())
    report = json.loads((run / "a/report.json").read_text())
    assert report["densities"] == 4
    assert report["source"]["step"] == 2
    assert report["valid"] + sum(report["refused"].values()) == 4
    assert (run / "a/molecules.sdf").exists()
    assert written[0] == written[1]
    assert written[0].count("generated, density") == 4
    assert main(["--run", str(run / "nowhere"), *options]) == 1
    assert "train the run first" in capsys.readouterr().err
    assert main(["--run", str(run), "--steps", "1", "--every", "2"]) == 1
    assert "--steps at least --every" in capsys.readouterr().err
