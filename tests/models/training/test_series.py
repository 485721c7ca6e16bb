"""Names of what is logged."""

import math

import pytest

from models.training.series import EMA, RAW, SERIES_COLUMNS, ZERO, Series, parse_key

EVERY = [
    RAW,
    EMA,
    ZERO,
    Series(readout="kept"),
    Series("ema", group="octahedral"),
    Series(readout="projected", group="vertical"),
    Series(group="vertical", without="layers.0.drift"),
    Series(place="fstn.fc3"),
]


@pytest.mark.parametrize("series", EVERY, ids=lambda series: series.key)
def test_a_key_is_read_back_as_the_series_it_was_made_of(series):
    found = parse_key(f"val/{series.key}/t=0.4/percent")
    assert Series(*(found[name] for name in SERIES_COLUMNS)) == series
    assert (found["split"], found["t"], found["metric"]) == ("val", 0.4, "percent")


def test_what_a_key_leaves_out_is_the_raw_weights_as_they_are():
    found = parse_key("train/loss")
    assert Series(*(found[name] for name in SERIES_COLUMNS)) == RAW
    assert math.isnan(found["t"])
    assert parse_key("relaxation/place=conv3/alpha_W")["place"] == "conv3"


def test_files_beside_figures_call_series_by_short_names():
    names = ["raw", "ema", "zero", "kept", "ema-octahedral", "projected-vertical"]
    assert [str(series) for series in EVERY[:6]] == names
    assert str(EVERY[6]) == "without layers.0.drift-vertical"


@pytest.mark.parametrize(
    "key", ["loss", "val/", "val/ema 24/percent/x", "val/raw/size=3/percent", "val/raw/weights=ema/percent"]
)
def test_another_form_of_key_is_refused_by_its_name(key):
    with pytest.raises(ValueError, match=f"metric '{key}'"):
        parse_key(key)
