"""Bad input: one sentence that names file, record and remedy, and nothing half-written."""

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest

from data.errors import DataError
from data.mocap.amc import read_amc
from data.mocap.asf import read_asf
from data.mocap.pickles import read_positions, read_split
from data.mocap.prepare import prepare
from data.mocap.settings import MocapSettings
from data.mocap.store import MotionStore, write_store
from data.mocap.trials import Samples, Trial
from data.validation import read
from tests.data.mocap.raw_files import (
    PARAMETRIC,
    amc_folder,
    amc_text,
    asf_text,
    bones,
    positions_pickle,
    split_pickle,
)


def refusal(function, *arguments):
    """The one sentence with which `function` refuses."""
    with pytest.raises(DataError) as caught:
        function(*arguments)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def without(text, pattern, replacement=""):
    changed = re.sub(pattern, replacement, text, count=1, flags=re.M | re.S)
    assert changed != text
    return changed


# ---- ASF


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"^  begin\n    id 4\n.*?end\n", "", "has no bone 'lfoot'"),
        (r"    length 1.4\n", "", "bone 'lfoot' has no length"),
        (r"length 1.4\n", "length long\n", "bone 'lfoot' has length 'long' where 1 numbers"),
        (r"length 1.4\n", "length nan\n", "bone 'lfoot' has length 'nan' where 1 numbers"),
        (r"axis 20 -12 8  XYZ", "axis 20 -12 8  ZYX", "bone 'lfoot' turns about its axes in the order ZYX"),
        (r"dof rx rz", "dof rx tz", "bone 'lfoot' moves by 'tz'"),
        (r"order TX TY TZ RX RY RZ", "order TX TY TZ RZ RY RX", "the root's order is tx ty tz rz ry rx"),
        (r"angle deg", "angle rad", "angle rad, not 0.45 and deg"),
        (r"^    lfoot ltoes\n", "", "the hierarchy has no joint 'ltoes'"),
        (r"root lhipjoint rhipjoint", "root rhipjoint lhipjoint", "lists them in another order: root rhip"),
        (r"name lfoot\n", "name\n", "a bone has no name"),
        (r"name lfoot\n", "name lfemur\n", "has two bones 'lfemur'"),
        (r"length 1.4\n", "length -1.4\n", "bone 'lfoot' has the negative length -1.4"),
        (r"dof rx rz", "dof rx rx", "bone 'lfoot' moves by the same angle twice: rx rx"),
        (r"name lfoot\n.*", "name", "lacks :bonedata or :hierarchy"),
        (r"^  end\n:hierarchy", ":hierarchy", "ends within bone 'rthumb'"),
        (r"^:hierarchy.*", "", "is truncated or not an ASF file: it lacks :bonedata or :hierarchy"),
    ],
)
def test_a_malformed_skeleton(tmp_path, pattern, replacement, message):
    path = tmp_path / "a.asf"
    path.write_text(without(asf_text(), pattern, replacement))
    assert message in refusal(read_asf, path)
    assert str(path) in refusal(read_asf, path)


def test_an_absent_skeleton(tmp_path):
    assert "python -m data.fetch" in refusal(read_asf, tmp_path / "a.asf")


# ---- AMC


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"^2\n(.*?)^lfoot [^\n]*\n", r"2\n\1", "frame 2 has no joint 'lfoot'"),
        (r"^7\nroot", "9\nroot", "frame 9 follows frame 6"),
        (r"^7\nroot.*(?=^8\n)", "", "frame 8 follows frame 6: frames are missing or out of order"),
        (r"^40\n(.*?)^lfemur.*", r"40\n\1", "frame 40 has no joint 'lfemur': it is truncated"),
        (r"^2\nroot \S+ ", "2\nroot ", "frame 2, joint 'root' has 5 angles where the skeleton has 6"),
        (r"^3\nroot \S+ ", "3\nroot much ", "frame 3 has a value that is not a number"),
        (r"^3\nroot \S+ ", "3\nroot inf ", "frame 3 has a value that is not finite"),
        (r"^2\n(root[^\n]*\n)([^\n]*\n)", r"2\n\2\1", "frame 2 lists its joints in another order"),
        (r"^2\n", "2\nltail 1 2 3\n", "frame 2 has the joint 'ltail', which does not move"),
        (r"^2\n", "2\n\u00b2\n", "frame 2 has the joint '\u00b2', which does not move"),
        (r"^3\n", "3\nlfoot 7 7\n", "frame 3 lists the joint 'lfoot' twice"),
        (r":DEGREES", ":RADIANS", "declares :RADIANS, and only :FULLY-SPECIFIED and :DEGREES are understood"),
        (r"^7\n", ":radians\n7\n", "declares :radians"),
        (r"\d\n\Z", "", "does not end with a line break, so its last number may be cut"),
    ],
)
def test_a_malformed_trial(tmp_path, pattern, replacement, message):
    (tmp_path / "a.asf").write_text(asf_text())
    path = tmp_path / "a.amc"
    path.write_text(without(amc_text(), pattern, replacement), encoding="latin-1")
    sentence = refusal(read_amc, path, read_asf(tmp_path / "a.asf"))
    assert message in sentence
    assert str(path) in sentence


def test_a_trial_without_frames(tmp_path):
    (tmp_path / "a.asf").write_text(asf_text())
    (tmp_path / "a.amc").write_text("<html>no such file</html>")
    skeleton = read_asf(tmp_path / "a.asf")
    assert "has no frames" in refusal(read_amc, tmp_path / "a.amc", skeleton)
    assert "python -m data.fetch" in refusal(read_amc, tmp_path / "b.amc", skeleton)


# ---- pickles


class Harmful:
    """What unpickling this would do: make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("read", [read_positions, read_split])
def test_a_pickle_with_anything_but_arrays_is_refused_and_does_nothing(tmp_path, read):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps((bones(), [Harmful(tmp_path / "made")])))
    sentence = refusal(read, path)
    assert "holds io.open, and only containers and arrays of numbers are read" in sentence
    assert not (tmp_path / "made").exists()
    for other in (np.array([{}], dtype=object), np.array(["text"]), np.float64(3.0)):
        path.write_bytes(pickle.dumps((bones(), [other])))
        assert "only containers and arrays of numbers are read" in refusal(read, path)


@pytest.mark.parametrize(
    "harmful",
    [
        b"cnumpy\nndarray\n((I100000\nI100000\nttR.",  # calls numpy.ndarray
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
        b"cnumpy\ndtype\n(S'O8'\ntR.",
        b"P0\n.",
    ],
)
def test_the_names_of_arrays_serve_for_nothing_else(tmp_path, harmful):
    (tmp_path / "a.pkl").write_bytes(harmful)
    assert str(tmp_path / "a.pkl") in refusal(read_positions, tmp_path / "a.pkl")


def test_a_truncated_pickle(tmp_path):
    path = positions_pickle(tmp_path / "a.pkl")
    path.write_bytes(path.read_bytes()[:-5000])
    assert "is truncated or not a pickle" in refusal(read_positions, path)


def test_a_wrong_count_of_joints(tmp_path):
    path = positions_pickle(tmp_path / "a.pkl", joints=30)
    assert "case 0 is (130, 30, 3), not positions of 31 joints" in refusal(read_positions, path)
    trial = Trial(0, 1, np.zeros((140, 30, 3)), 0, "short")
    motions = {"run": ([trial], {"train": Samples(((0, 0),), 1)})}
    options = {"source": "cmu", "dataset": "x", "caveats": {}, "config": {}}
    with pytest.raises(DataError, match=r"trial short has positions \(140, 30, 3\), not \(frames, 31, 3\)"):
        write_store(tmp_path / "a.h5", motions, **options)
    motions = {"run": ([Trial(0, 1, np.zeros((0, 31, 3)), 0, "empty")], {"train": Samples(((0, 0),), 1)})}
    with pytest.raises(DataError, match="trial empty has no frames"):
        write_store(tmp_path / "a.h5", motions, **options)
    assert not (tmp_path / "a.h5").exists()


def test_pickles_of_another_shape(tmp_path):
    path = tmp_path / "a.pkl"
    for content, message in [
        ([1, 2, 3], "is not upstream's pair"),
        ((bones()[:-1], []), "29 bones that are not those of the 31 joints"),
        (([*bones()[:-1], ["lthumb", 3]], []), "30 bones that are not those of the 31 joints"),
        (([*bones(), "lthumb"], []), "31 bones that are not those of the 31 joints"),
        (([*bones()[:-1], [np.arange(2), 3]], []), "30 bones that are not those of the 31 joints"),
        ((bones(), [np.zeros((0, 31, 3))]), "case 0 has no frames"),
        ((bones(), [np.full((50, 31, 3), np.nan)]), "case 0 has a position that is not a number"),
    ]:
        path.write_bytes(pickle.dumps(content))
        assert message in refusal(read_positions, path)
    for content, message in [
        (({}, {}), "is not upstream's triple"),
        (({0: np.arange(3)}, {}, {}), "the validation split is not a mapping"),
        (({0: np.arange(3.0)}, {}, {}), "case 0 of the train split has no list of start frames"),
        (({0: -np.arange(3)}, {}, {}), "case 0 of the train split has no list of start frames"),
    ]:
        path.write_bytes(pickle.dumps(content))
        assert message in refusal(read_split, path)


# ---- blocks, files and samples


def run_block(*names):
    return MocapSettings(source="cmu", motions=["run"], files=[{"name": name} for name in names])


def test_files_that_do_not_make_a_motion(tmp_path):
    def said(*names):
        return refusal(prepare, run_block(*names), tmp_path / "out.h5", tmp_path)

    split_pickle(tmp_path / "split_run.pkl", [1, 2, 5, 6, 10], [0, 4, 9], [3, 7, 8])
    amc_folder(tmp_path, {6: 40, 12: 40}, subject=9)
    assert said("motion_run.pkl") == "data.mocap.files lacks split_run.pkl, the split of the motion run"
    assert "no trial of the motion run: list motion_run.pkl" in said("split_run.pkl", "35_01.amc")
    assert "lacks 09.asf" in said("split_run.pkl", "09_06.amc")
    assert "09_12.amc is not one of the run trials" in said("split_run.pkl", "09.asf", "09_12.amc")
    assert "motion_run.pkl does not exist: fetch it" in said("split_run.pkl", "motion_run.pkl")
    positions_pickle(tmp_path / "motion_run.pkl", trials=10)
    assert "has 10 trials where the motion run has 11" in said("split_run.pkl", "motion_run.pkl")
    assert not (tmp_path / "out.h5").exists()


def test_a_split_that_asks_for_absent_trials_or_frames(tmp_path):
    split_pickle(tmp_path / "split_run.pkl", [1, 2, 5, 6, 10], [0, 4, 9], [3, 7, 8])
    positions_pickle(tmp_path / "motion_run.pkl", frames=100)
    sentence = refusal(prepare, run_block("motion_run.pkl", "split_run.pkl"), tmp_path / "o.h5", tmp_path)
    assert re.search(
        r"run: (\d+) of the 200 official train samples are missing: \1 because frames of trials 1, ",
        sentence,
    )
    names = amc_folder(tmp_path, {6: 140}, subject=9)
    names = [name for name in names if name != "motion_run.pkl"]
    sentence = refusal(prepare, run_block(*names), tmp_path / "o.h5", tmp_path)
    assert (
        "200 of the 200 official train samples are missing: 200 because trials 1, 7, 8, 10, 11 are absent"
        in sentence
    )
    assert "data.mocap.missing_samples to fill or drop" in sentence


@pytest.mark.parametrize("case", [99, -1])
def test_a_split_that_asks_for_a_case_that_no_trial_is(tmp_path, case):
    positions_pickle(tmp_path / "motion_run.pkl")
    split_pickle(tmp_path / "split_run.pkl", [1, 2, 5, 6, 10], [0, 4, case], [3, 7, 8])
    files = "motion_run.pkl", "split_run.pkl"
    for missing_samples in ("refuse", "drop", "fill"):
        block = replace(run_block(*files), missing_samples=missing_samples)
        assert refusal(prepare, block, tmp_path / "o.h5", tmp_path) == (
            f"pickle split_run.pkl: the validation split asks for case {case}, and the motion run has the cases 0 to 10"
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "kinect"}, "data.mocap: source must be one of parametric, cmu, not 'kinect'"),
        ({"colour": 1}, "data.mocap: colour is not a known key"),
        ({"motions": ["swim"]}, "data.mocap: motions.0 must be one of run, walk, not 'swim'"),
        ({"motions": None}, "data.mocap: motions must be of type array, not None"),
        ({"motions": ["run", "run"]}, "names a motion twice"),
        (
            {"missing_samples": "guess"},
            "data.mocap: missing_samples must be one of refuse, drop, fill, not 'guess'",
        ),
        ({"train_trials": None}, "data.mocap: source parametric needs train_trials"),
        ({"starts_per_trial": 91}, "data.mocap: starts_per_trial is 91, and a trial has no more than 90"),
        ({"seed": -1}, "data.mocap: seed: -1 is less than the minimum of 0"),
        ({"heading_spread": 200}, "data.mocap: heading_spread: 200 is greater than the maximum of 180"),
        ({"heading_spread": "x"}, "data.mocap: heading_spread must be of type number, not 'x'"),
        ({"source": "cmu"}, "data.mocap: source cmu needs files"),
        ({"files": "x"}, "data.mocap: files must be of type array, not 'x'"),
        ({"files": ["x"]}, "data.mocap: files.0 must be of type object, not 'x'"),
        ({"files": [{}]}, "data.mocap: files.0.name is missing"),
        ({"files": [{"path": "x"}]}, "data.mocap: files.0.path is not a known key"),
    ],
)
def test_blocks_that_make_no_sense(change, message):
    assert message in refusal(read, MocapSettings, PARAMETRIC | change, "data.mocap")


def test_stores_that_cannot_be_read(tmp_path):
    assert "prepare it with python -m data.mocap.prepare" in refusal(MotionStore, tmp_path / "a.h5")
    prepare(read(MocapSettings, PARAMETRIC | {"motions": ["walk"]}, "data.mocap"), tmp_path / "a.h5")
    store = MotionStore(tmp_path / "a.h5")
    assert "has no motion 'run': it has walk" in refusal(store.indices, "run", "train")
    assert "1 to 30 target frames, not 31" in refusal(store.read, [0], 31)
    (tmp_path / "a.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:-3000])
    assert "cannot be read" in refusal(MotionStore, tmp_path / "a.h5")
