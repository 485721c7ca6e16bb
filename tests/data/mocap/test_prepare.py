"""Every source becomes a store of the official samples, and the real files give the published positions."""

import json
import os
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import yaml

from data.errors import DataError
from data.fetch import read_pointer
from data.mocap.official import OFFICIAL
from data.mocap.pickles import read_split
from data.mocap.prepare import RAW_FOLDER, main, prepare
from data.mocap.settings import MocapSettings
from data.mocap.skeleton import JOINTS, PARENTS, edges
from data.mocap.store import MotionStore
from data.mocap.trial_files import read_trials
from data.mocap.trials import caveat, select
from data.validation import read
from tests.data.mocap.raw_files import PARAMETRIC, amc_folder, positions_pickle, split_pickle

SHARED = Path(os.environ.get("DATA_DIR", "../shared/data"))
ROOT = Path(__file__).parents[3]
RUN = {
    "source": "cmu",
    "motions": ["run"],
    "files": [{"name": "motion_run.pkl"}, {"name": "split_run.pkl"}],
}
needs_shared = pytest.mark.skipif(
    not (SHARED / "dvc-remote").exists(), reason=f"no {SHARED}/dvc-remote: set DATA_DIR"
)


def prepared(tmp_path, block, name="out.h5"):
    report = prepare(read(MocapSettings, block, "data.mocap"), tmp_path / name, tmp_path)
    assert json.loads((tmp_path / f"{name}.report.json").read_text()) == json.loads(json.dumps(report))
    return MotionStore(tmp_path / name), report


def crc32c(data: bytes) -> int:
    """Reflected CRC-32C, initial value 0xFFFFFFFF, without a final inversion."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def test_cases_are_trials_in_the_order_of_a_directory_listing():
    for official in OFFICIAL.values():
        listed = sorted(
            official.trials,
            key=lambda number: (
                crc32c(f"{official.subject:02d}_{number:02d}.amc".encode("utf-32-le")) & (1 << 22) - 1
            ),
        )
        assert tuple(listed) == official.trials


def test_the_official_split_is_cut_to_its_sizes_in_order(tmp_path):
    positions_pickle(tmp_path / "motion_run.pkl")
    split_pickle(tmp_path / "split_run.pkl", [1, 2, 5, 6, 10], [0, 4, 9], [3, 7, 8])
    store, report = prepared(tmp_path, RUN)
    assert report["motions"]["run"]["samples"] == {"train": 200, "validation": 240, "test": 240}
    assert report["caveats"] == {}
    starts = read_split(tmp_path / "split_run.pkl")["test"]
    rows = store.indices("run", "test")
    assert store.trial_case[store.sample_trial[rows]].tolist() == [3] * 80 + [7] * 80 + [8] * 80
    assert store.sample_start[rows].tolist() == [*starts[3], *starts[7], *starts[8]]


def test_a_sample_is_its_frame_the_forward_difference_and_the_last_frames_of_the_horizon(tmp_path):
    positions_pickle(tmp_path / "motion_run.pkl")
    split_pickle(tmp_path / "split_run.pkl", [1, 2, 5, 6, 10], [0, 4, 9], [3, 7, 8])
    store, _ = prepared(tmp_path, RUN)
    k = store.indices("run", "train")[17]
    P, s = store.trial(store.sample_trial[k]), store.sample_start[k]
    window = store.read([k])
    np.testing.assert_array_equal(window.x[0], P[s].astype(np.float32))
    np.testing.assert_array_equal(window.v[0], (P[s + 1] - P[s]).astype(np.float32))
    np.testing.assert_array_equal(window.y[0], P[s + 26 : s + 31].astype(np.float32))


def test_absent_trials_are_refused_dropped_or_filled(tmp_path):
    names = amc_folder(tmp_path, dict.fromkeys((5, 11, 10, 12), 340))
    split_pickle(tmp_path / "split.pkl", [1, 2, 3], [4], [0], starts=100, frames=300)
    block = {
        "source": "cmu",
        "motions": ["walk"],
        "files": [{"name": n} for n in [*names, "split.pkl"]],
    }
    with pytest.raises(
        DataError,
        match=r"walk: 66 of the 198 official train samples are missing: 66 because trial 4 is absent",
    ):
        prepare(read(MocapSettings, block, "data.mocap"), tmp_path / "out.h5", tmp_path)
    dropped, report = prepared(tmp_path, block | {"missing_samples": "drop"}, "dropped.h5")
    assert report["motions"]["walk"]["samples"]["train"] == 132
    filled, report = prepared(tmp_path, block | {"missing_samples": "fill"}, "filled.h5")
    assert report["motions"]["walk"]["samples"]["train"] == 198
    assert len(dropped.indices("walk", "validation")) == len(filled.indices("walk", "validation")) == 100
    assert filled.caveats["walk"] == (
        "walk, subject 35: train has 132 of 198 official samples (missing: 66 because trial 4 is absent), 66 others in "
        "their place; which trial is which case is inferred"
    )


def test_the_caveat_names_every_reason_where_it_applies(tmp_path):
    amc_folder(tmp_path, dict.fromkeys((5, 11, 10, 12), 340))
    for number, first in ((11, 100), (5, 10)):
        text = (tmp_path / f"35_{number:02d}.amc").read_text()
        (tmp_path / f"35_{number:02d}.amc").write_text(text[text.index(f"\n{first}\n") + 1 :])
    trials = read_trials("walk", sorted(tmp_path.iterdir()))
    assert {trial.number: trial.supplied for trial in trials} == {5: 9, 11: 0, 10: 0, 12: 0}
    starts = {"train": {1: np.arange(0, 300, 3), 5: np.arange(100)}, "test": {0: np.arange(5, 105)}}
    samples = {split: select("walk", split, of_split, trials, "drop") for split, of_split in starts.items()}
    assert caveat("walk", samples, trials) == (
        "walk, subject 35: train has 67 of 200 official samples (missing: 100 because trial 6 is absent, 33 because "
        "frames of trial 11 are absent); the first 9 frames of trial 5, in which 4 test samples begin, are of a BVH "
        "conversion; which trial is which case is inferred"
    )
    of_ten = {"test": select("walk", "test", {2: np.arange(100)}, trials, "drop")}
    assert caveat("walk", of_ten, trials) == "walk, subject 35: which trial is which case is inferred"
    assert caveat("walk", of_ten, [replace(trial, source="motion.pkl") for trial in trials]) == ""


def test_cut_beginnings_shift_the_count_of_frames(tmp_path):
    amc_folder(tmp_path, {5: 340, 10: 340})
    text = (tmp_path / "35_05.amc").read_text()
    cut = text[text.index("\n15\n") + 1 :]
    (tmp_path / "35_05.amc").write_text(":DEGREES\n" + cut)
    whole, ten = read_trials("walk", sorted(tmp_path.iterdir()))
    assert (whole.number, whole.offset, len(whole.positions)) == (5, 14, 340 - 14)
    assert not whole.has(13)
    assert whole.has(14)
    assert (ten.number, ten.offset, len(ten.positions)) == (10, 0, 340 - 6)


def test_generated_motions_have_trials_of_their_own_in_every_split(tmp_path):
    store, report = prepared(tmp_path, PARAMETRIC)
    assert store.motions == ["run", "walk"]
    assert store.dataset == "generated walkers and runners"
    for motion in store.motions:
        assert report["motions"][motion]["samples"] == {"train": 15, "validation": 10, "test": 10}
        trials = [set(store.sample_trial[store.indices(motion, s)]) for s in ("train", "validation", "test")]
        assert [len(of_split) for of_split in trials] == [3, 2, 2]
        assert all(a.isdisjoint(b) for a, b in combinations(trials, 2))
    walkers = store.predictors["walk"]["test"]
    assert walkers["scaled_velocity"] < walkers["constant_velocity"] < walkers["static"]
    again, _ = prepared(tmp_path, PARAMETRIC, "again.h5")
    other, _ = prepared(tmp_path, PARAMETRIC | {"seed": 1}, "other.h5")
    assert again.digest == store.digest != other.digest


def test_the_command_prepares_and_tells(tmp_path, capsys):
    (tmp_path / "block.yaml").write_text(yaml.safe_dump(PARAMETRIC | {"motions": ["walk"]}))
    arguments = ["--config", str(tmp_path / "block.yaml"), "--out", str(tmp_path / "a.h5"), "--workers", "1"]
    assert main(arguments) == 0
    assert "walk 15 train, 10 validation, 10 test samples of generated" in capsys.readouterr().out
    (tmp_path / "block.yaml").write_text("source: nowhere\n")
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith(
        "error: data.mocap: source must be one of parametric, cmu, not 'nowhere'"
    )


def raw_pointers():
    return [read_pointer(path) for path in sorted((ROOT / RAW_FOLDER).glob("*.dvc"))]


def test_every_raw_file_has_a_checksum_and_an_origin():
    pointers = raw_pointers()
    assert len(pointers) == 26
    for pointer in pointers:
        assert pointer.md5
        assert pointer.origin.startswith("https://")
        assert pointer.path.name == f"{pointer.target.name}.dvc"


# ---- the real files


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    for pointer in raw_pointers():
        (folder / pointer.target.name).symlink_to((SHARED / "dvc-remote" / pointer.object).resolve())
    return folder


def published(motion):
    return np.load(SHARED / "mocap" / f"{motion}.npz", allow_pickle=False)


def store_of(tmp_path, raw, motion, missing_samples="fill"):
    files = [{"name": path.name} for path in sorted(raw.iterdir())]
    block = {"source": "cmu", "motions": [motion], "files": files, "missing_samples": missing_samples}
    report = prepare(read(MocapSettings, block, "data.mocap"), tmp_path / "out.h5", raw)
    return MotionStore(tmp_path / "out.h5"), report


@needs_shared
@pytest.mark.parametrize("motion", ["run", "walk"])
def test_real_positions_and_samples_are_the_published_ones(tmp_path, real, motion):
    store, _ = store_of(tmp_path, real, motion)
    expected = published(motion)
    assert store.trial_case.tolist() == expected["case_id"].tolist()
    assert store.trial_number.tolist() == expected["trial_number"].tolist()
    assert store.trial_offset.tolist() == expected["local_offset"].tolist()
    for row, (a, b) in enumerate(zip(expected["trial_ptr"], expected["trial_ptr"][1:], strict=False)):
        np.testing.assert_allclose(store.trial(row), expected["positions"][a:b], rtol=0, atol=1e-12)
    for split, short in (("train", "train"), ("validation", "val"), ("test", "test")):
        rows = store.indices(motion, split)
        wanted = expected[f"samples_{short}"][expected[f"samples_{short}_available"]]
        if (motion, split) == ("walk", "train"):
            wanted = expected["samples_train_filled"]
        found = np.stack([store.sample_trial[rows], store.sample_start[rows]], axis=1)
        np.testing.assert_array_equal(found, wanted[:, 2:])


@needs_shared
def test_the_graph_and_the_joints_are_the_published_ones():
    expected = published("run")
    index, kind = edges()
    assert expected["joint_names"].tolist() == list(JOINTS)
    assert expected["parent"].tolist() == PARENTS.tolist()
    np.testing.assert_array_equal(index, expected["edge_index"])
    np.testing.assert_array_equal(kind, expected["edge_type"])


@needs_shared
def test_raw_angles_reproduce_the_converted_positions_of_a_run(real):
    (trial,) = read_trials("run", [real / "09.asf", real / "09_06.amc"])
    assert (trial.case, trial.offset) == (0, 0)
    expected = published("run")
    first = expected["positions"][: expected["trial_ptr"][1]]
    np.testing.assert_allclose(trial.positions, first, rtol=0, atol=1e-12)


@needs_shared
def test_predictors_without_training_have_the_known_errors(tmp_path, real):
    expected = {  # 100 x error, and the scale: train, validation, test
        "run": [(9187, 2156, 1895, 25.2), (9449, 2077, 1850, 25.6), (8980, 1980, 1765, 25.6)],
        "walk": [(1212, 243, 220, 26.0), (1280, 284, 250, 25.4), (1286, 260, 230, 25.7)],
    }
    for motion, rows in expected.items():
        store, _ = store_of(tmp_path, real, motion)
        for split, numbers in zip(("train", "validation", "test"), rows, strict=True):
            errors = store.predictors[motion][split]
            found = [100 * errors[key] for key in ("static", "constant_velocity", "scaled_velocity")]
            assert [round(value) for value in found] == list(numbers[:3])
            assert round(errors["scale"], 1) == numbers[3]


@needs_shared
def test_store_and_report_of_walk_say_what_is_missing_and_why(tmp_path, real):
    store, report = store_of(tmp_path, real, "walk")
    assert report["motions"]["walk"]["samples"] == {"train": 198, "validation": 400, "test": 600}
    assert store.caveats == report["caveats"]
    assert store.caveats["walk"] == (
        "walk, subject 35: train has 160 of 198 official samples (missing: 18 because trial 6 is absent, 20 because "
        "frames of trials 9, 11, 12, 13, 30 are absent), 38 others in their place; validation has 400 of 600 official "
        "samples (missing: 200 because trials 3, 4 are absent); the first 9 frames of trial 5, in which 3 test samples "
        "begin, are of a BVH conversion; which trial is which case is inferred"
    )
    with pytest.raises(
        DataError,
        match=r"walk: 38 of the 198 official train samples are missing: 18 because trial 6 is absent, 20 because",
    ):
        store_of(tmp_path, real, "walk", "refuse")
