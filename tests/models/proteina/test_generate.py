"""Generated chains: the files can be read back, the report's numbers are right, the same seed gives the same chains."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from data.pdb.chains import radius_of_gyration
from models.official import official_name
from models.proteina import generate
from models.proteina.official import RULES
from models.proteina.samples import clashes, describe, report, write_calpha
from models.proteina.settings import PUBLISHED
from models.train import main as train
from tests.models.proteina.chain_runs import configuration, write_chains
from tests.models.proteina.chains import NETWORK, walk
from tests.models.proteina.test_network import network
from tests.models.training.run_files import write_run


def read_back(path: Path) -> np.ndarray:
    """Coordinates by the columns of the PDB format, with everything else checked."""
    lines = path.read_text().splitlines()
    atoms = [line for line in lines if line.startswith("ATOM  ")]
    assert all(len(line) == 80 for line in lines)
    assert lines[-1].strip() == "END"
    assert [int(line[22:26]) for line in atoms] == list(range(1, len(atoms) + 1))
    assert {(line[12:16], line[17:20], line[21], line[76:78]) for line in atoms} == {
        (" CA ", "ALA", "A", " C")
    }
    return np.array([[float(line[30 + 8 * k : 38 + 8 * k]) for k in range(3)] for line in atoms])


def test_a_file_holds_its_chain_to_a_thousandth_of_an_angstrom(tmp_path):
    points = 10 * walk(120, np.random.default_rng(0)) - 300
    write_calpha(tmp_path / "a.pdb", points, "made up\nby a test")
    assert np.abs(read_back(tmp_path / "a.pdb") - points).max() <= 0.0005 + 1e-9
    assert "REMARK   1 by a test" in (tmp_path / "a.pdb").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["a.pdb"]


def test_a_parser_of_structures_reads_the_file(tmp_path):
    gemmi = pytest.importorskip("gemmi", reason="gemmi is not installed")
    points = 10 * walk(30, np.random.default_rng(1))
    write_calpha(tmp_path / "a.pdb", points)
    chain = gemmi.read_structure(str(tmp_path / "a.pdb"))[0]["A"]
    found = np.array([residue["CA"][0].pos.tolist() for residue in chain])
    assert np.abs(found - points).max() < 0.001
    assert {residue.name for residue in chain} == {"ALA"}


@pytest.mark.parametrize(
    "points", [np.full((3, 3), np.nan), np.full((3, 3), 1e5), np.zeros((0, 3)), np.zeros((3, 2))]
)
def test_what_the_format_cannot_hold_is_refused_and_leaves_no_file(tmp_path, points):
    with pytest.raises(ValueError, match=r"a\.pdb: "):
        write_calpha(tmp_path / "a.pdb", points)
    assert not list(tmp_path.iterdir())


def test_the_radius_of_gyration_of_a_rod_is_known():
    n, step = 41, 3.8
    rod = step * np.arange(n)[:, None] * np.array([[0.6, 0.0, 0.8]])
    assert radius_of_gyration(rod) == pytest.approx(step * np.sqrt((n**2 - 1) / 12))
    assert describe(rod)["bond_mean"] == pytest.approx(step)
    assert describe(rod)["clashes"] == 0


def test_clashes_are_pairs_within_two_angstrom():
    points = 4 * np.random.default_rng(0).normal(size=(60, 3))
    expected = sum(np.linalg.norm(a - b) < 2.0 for a, b in combinations(points, 2))
    assert clashes(points) == expected > 0


def test_the_report_pools_over_chains():
    chains = [10 * walk(n, np.random.default_rng(n)) for n in (20, 35)]
    found = report(chains)
    assert (found["chains"], found["residues"]) == (2, 55)
    assert found["bonds"]["mean"] == pytest.approx(3.8)
    assert found["bonds"]["within_tolerance"] == 1
    assert found["clash_rate"] == sum(map(clashes, chains)) / 55
    radii = [radius_of_gyration(points) / (2.2 * len(points) ** 0.38) for points in chains]
    assert found["radius_over_native"] == pytest.approx(np.mean(radii))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained run."""
    root = tmp_path_factory.mktemp("generated")
    path = write_run(root, configuration(steps=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        torch.set_num_threads(1)
        write_chains()
        train(["--config", str(path)])
    return path.parent


def made(folder, out, *options):
    arguments = [
        "--run",
        str(folder),
        "--out",
        str(out),
        "--lengths",
        "7",
        "9",
        "--samples",
        "2",
        "--steps",
        "6",
    ]
    assert generate.main([*arguments, "--device", "cpu", *options]) == 0
    return json.loads((out / "report.json").read_text())


def test_samples_repeat_however_they_are_batched_and_change_with_the_seed(folder, tmp_path):
    first = made(folder, tmp_path / "a")
    made(folder, tmp_path / "b", "--batch-size", "3")
    made(folder, tmp_path / "c", "--seed", "1")
    names = sorted(first["samples"])
    assert names == ["0000_7.pdb", "0001_7.pdb", "0002_9.pdb", "0003_9.pdb"]
    assert {path.name for path in (tmp_path / "a").iterdir()} == {*names, "report.json"}
    for name in names:
        a, b, c = (read_back(tmp_path / key / name) for key in "abc")
        assert np.abs(a - b).max() < 0.01
        assert np.abs(a - c).max() > 1
        assert first["samples"][name]["radius_of_gyration"] == pytest.approx(radius_of_gyration(a), abs=0.01)
    assert np.abs(read_back(tmp_path / "a" / names[0]) - read_back(tmp_path / "a" / names[1])).max() > 1
    assert first["source"]["step"] == 2


def test_without_noise_and_of_raw_weights(folder, tmp_path):
    found = made(folder, tmp_path / "a", "--ode", "--raw", "--no-self-conditioning")
    assert found["sampler"] == {
        "steps": 6,
        "noise": None,
        "seed": 0,
        "averaged": False,
        "self_condition": False,
    }


def test_an_official_checkpoint_generates(tmp_path, monkeypatch):
    monkeypatch.setitem(PUBLISHED, "60M", NETWORK)
    built = network(fold_classes=(2, 3, 4)).float()
    state = {f"nn.{official_name(name, RULES)}": value for name, value in built.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "X-EMA.ckpt")
    arguments = [
        "--checkpoint",
        str(tmp_path / "X-EMA.ckpt"),
        "--lengths",
        "6",
        "--samples",
        "1",
        "--steps",
        "3",
    ]
    assert generate.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert read_back(tmp_path / "out" / "0000_6.pdb").shape == (6, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--run", "nowhere"], "nowhere: needs run.yaml and checkpoints"),
        (["--checkpoint", "x.ckpt"], "say with --out"),
        (["--checkpoint", "x.ckpt", "--out", "y"], "x.ckpt: not a checkpoint"),
        (["--run", "nowhere", "--lengths", "1"], "--lengths must be at least 2"),
    ],
)
def test_what_cannot_be_generated_is_one_sentence(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert generate.main(arguments) == 1
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1
