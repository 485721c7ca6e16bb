"""The definitions of the landmarks, on curves where they are known and on the paper's own."""

import numpy as np
import pandas as pd
import pytest

from analysis.curves import Curve
from analysis.quantities.landmarks import dip_and_peak, first_below, landmarks
from analysis.reference.derive import TARGET, derive
from analysis.reference.paper_curves import open_paper_curves

LOG_STEPS = np.unique(np.round(np.logspace(0, 5, 60)))


def v_shape(steps, dip_step=1000.0, dip=0.1, start=50.0, peak=0.4, peak_step=20_000.0):
    """Straight in log-log between (1, start), (dip_step, dip), (peak_step, peak), then falls."""
    return np.exp(
        np.interp(np.log(steps), np.log([1, dip_step, peak_step, 1e5]), np.log([start, dip, peak, 0.2]))
    )


def test_landmarks_of_a_curve_that_falls_dips_rises_and_falls():
    steps = np.unique(np.r_[LOG_STEPS, 1000, 20_000])
    found = landmarks(Curve(steps, v_shape(steps)))
    assert (found.start_step, found.start) == (1, pytest.approx(50))
    assert found.dip_step == pytest.approx(1000, rel=0.03)
    assert found.dip == pytest.approx(0.1, rel=0.05)
    assert found.peak_step == pytest.approx(20_000, rel=0.03)
    assert found.peak == pytest.approx(0.4, rel=0.05)
    assert found.end == pytest.approx(0.2, rel=0.05)
    for level, step in found.below.items():
        exact = np.exp(np.log(50 / level) / np.log(50 / 0.1) * np.log(1000))
        assert step == pytest.approx(exact, rel=0.06)


def test_landmarks_do_not_depend_on_the_logging_interval_or_on_evaluation_noise():
    steps = np.arange(20, 100_001, 20)
    clean = landmarks(Curve(steps, v_shape(steps, dip_step=5000)))
    noise = np.exp(0.2 * np.random.default_rng(0).normal(size=len(steps)))
    noisy = landmarks(Curve(steps, v_shape(steps, dip_step=5000) * noise))
    sparse = landmarks(Curve(steps[4::5], v_shape(steps[4::5], dip_step=5000)))
    for other in (noisy, sparse):
        assert other.dip_step == pytest.approx(clean.dip_step, rel=0.3)
        assert other.dip == pytest.approx(clean.dip, rel=0.2)
        assert other.peak == pytest.approx(clean.peak, rel=0.2)
        assert other.below[1.0] == pytest.approx(clean.below[1.0], rel=0.2)


def test_the_dip_is_the_deepest_fall_that_is_taken_back_not_the_lowest_point():
    falls_below_its_dip = np.array([50, 1.0, 0.1, 0.4, 0.05])
    assert dip_and_peak(falls_below_its_dip) == (2, 3)


def test_a_curve_that_only_falls_has_no_dip_and_no_peak():
    found = landmarks(Curve(LOG_STEPS, 50 / LOG_STEPS))
    assert (found.dip, found.dip_step, found.peak, found.peak_step) == (None, None, None, None)


def test_a_level_that_is_never_reached_has_no_step():
    found = landmarks(Curve(LOG_STEPS, np.full(len(LOG_STEPS), 3.0)))
    assert found.below == {10.0: 1.0, 5.0: 1.0, 2.0: None, 1.0: None}


def test_crossing_a_level_between_two_bins_is_interpolated_in_log_log():
    assert first_below(Curve([10, 1000], [100, 1]), 10) == pytest.approx(100)
    assert first_below(Curve([0, 8], [50, 1]), 10) == 8


def test_step_zero_is_kept_as_the_start():
    found = landmarks(Curve([0, 1, 10, 100], [54, 50, 0.5, 0.9]))
    assert (found.start_step, found.start) == (0, 54)


def test_an_empty_curve_has_no_landmarks():
    with pytest.raises(ValueError, match="no landmarks"):
        landmarks(Curve([], []))


needs_logged = pytest.mark.skipif(
    not open_paper_curves().with_logged, reason="the paper's curves as logged are absent (REFERENCE_DIR)"
)


@pytest.fixture(scope="module")
def paper():
    return open_paper_curves()


def test_committed_landmarks_of_the_paper_are_what_the_definitions_give(paper):
    fresh, kept = derive(paper), pd.read_csv(TARGET, dtype={"t": str, "figure": str})
    assert list(fresh.columns) == list(kept.columns)
    assert list(fresh["series"]) == list(kept["series"])
    numbers = fresh.select_dtypes("number").columns
    np.testing.assert_allclose(fresh[numbers], kept[numbers], rtol=2e-5)


@needs_logged
def test_our_dips_and_peaks_of_the_papers_escaip_curves_agree_with_its_landmark_file(paper):
    theirs = pd.read_csv(paper.folder / "landmarks.csv", dtype=str, keep_default_na=False)
    ours = pd.read_csv(TARGET, dtype={"t": str}, keep_default_na=False)
    both = ours.merge(theirs, on=["file", "series", "variant"], suffixes=("", "_theirs"))
    both = both[(both["unit"] == "percent") & both["file"].str.match("fig1e_escaip|fig2[abdef]")]
    assert len(both) == 20
    # Three curves of Fig. 2f were searched there in windows cut by hand, one of them before its lowest point.
    by_hand = (both["file"] == "fig2f") & (both["series"] != "Adam 1e-5")
    for _, row in both[~by_hand].iterrows():
        for mine, other, unit in (
            ("dip_step", "dip_x", 1),
            ("dip", "dip_y", 100),
            ("peak_step", "peak_after_dip_x", 1),
            ("peak", "peak_after_dip_y", 100),
            ("start", "start_y", 100),
        ):
            assert float(row[mine]) == pytest.approx(unit * float(row[other]), rel=1e-4), (row["file"], mine)
        assert float(row["end"]) == pytest.approx(100 * float(row["final_y"]), rel=0.06)


def test_the_papers_unbiased_losses_still_add_up_to_its_total(paper):
    losses = paper.losses_of("escaip-default")
    mean, equiv, total = (losses[name].median for name in ("L_mean", "L_equiv", "L_total"))
    np.testing.assert_allclose(mean.value + equiv.at(mean.step), total.at(mean.step), rtol=0.02)
