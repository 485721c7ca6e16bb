"""What models/vn_pointnet/seed_study.csv says of mini's VN-PointNet runs over many seeds, and the README table."""

import pandas as pd
import pytest

from tests.workflow.checkout import ROOT
from twirl.relaxation.method import PRUNE_BELOW

FOLDER = ROOT / "models" / "vn_pointnet"
STUDY = pd.read_csv(FOLDER / "seed_study.csv", keep_default_na=False, na_values={"largest_alpha": [""]})
METHODS = {"plain": "plain", "es": "ES, projected", "rpp": "RPP", "recm": "RECM, pruned"}


def runs(setting: str, data: str, method: str, varied: bool = False) -> pd.DataFrame:
    """The runs of one cell of the table. varied: those that differ by more than the seed."""
    study = STUDY[(STUDY.setting == setting) & (STUDY.data == data) & (STUDY.method == method)]
    return study[(study.variation != "") == varied]


def spread(values: pd.Series) -> str:
    """Mean ± sample standard deviation [least, largest] (how many); of one or two, the values."""
    if len(values) < 3:
        return ", ".join(f"{value:.2f}" for value in values)
    least, largest = values.min(), values.max()
    return f"{values.mean():.2f} ± {values.std():.2f} [{least:.2f}, {largest:.2f}] ({len(values)})"


def table() -> list[str]:
    """The README's table, line by line."""
    lines = ["| shapes | network | former setting | present setting |", "|---|---|---|---|"]
    for data in ("rotated", "aligned"):
        for method, name in METHODS.items():
            former, present = (runs(setting, data, method).accuracy for setting in ("former", "present"))
            lines.append(f"| {data} | {name} | {spread(former)} | {spread(present)} |")
    varied = runs("present", "aligned", "recm", varied=True)
    lines.append(f"| aligned | RECM, pruned, varied | | {spread(varied.accuracy)} |")
    return lines


def test_the_readme_shows_the_study():
    text = (FOLDER / "README.md").read_text()
    assert "\n".join(table()) in text, "write this table into the README:\n" + "\n".join(table())


def test_every_run_of_recm_and_rpp_on_aligned_shapes_is_far_above_every_plain_one():
    plain = runs("present", "aligned", "plain").accuracy
    recm, varied = (runs("present", "aligned", "recm", varied).accuracy for varied in (False, True))
    assert len(recm) >= 8
    assert len(varied) > 0
    assert min(*recm, *varied, *runs("present", "aligned", "rpp").accuracy) > max(plain) + 0.2


def test_on_rotated_shapes_every_term_of_recm_is_pruned_in_every_run_and_the_accuracy_is_the_plain_networks():
    plain = runs("present", "rotated", "plain")
    recm = pd.concat([runs("present", "rotated", "recm", varied) for varied in (False, True)])
    assert (recm.largest_alpha < PRUNE_BELOW).all()
    assert set(recm.active_parameters) == set(plain.active_parameters)
    assert recm.accuracy.mean() == pytest.approx(plain.accuracy.mean(), abs=0.1)


def test_the_seeds_lie_closer_together_than_those_of_the_former_setting_did_on_two_processors():
    former, present = (runs(setting, "aligned", "recm").accuracy for setting in ("former", "present"))
    assert present.max() - present.min() < former.max() - former.min()
