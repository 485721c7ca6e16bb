"""How numbers are written."""

from analysis.words import between, count


def test_counts_are_written_short():
    assert [count(n) for n in (0, 32, 950, 5000, 104_346, 445_800, 1_165_190, 6_137_222)] == [
        "0", "32", "950", "5k", "104k", "446k", "1.2M", "6.1M",
    ]  # fmt: skip


def test_ranges_are_written_once_where_their_ends_are_written_alike():
    assert between([43.2, 65.1, 50]) == "43 to 65"
    assert between([0.314, 0.309]) == "0.31"
    assert between([121.6, 203.2]) == "122 to 203"
