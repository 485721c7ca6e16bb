"""How numbers are written."""

from analysis.words import count


def test_counts_are_written_short():
    assert [count(n) for n in (0, 32, 950, 5000, 104_346, 445_800, 1_165_190, 6_137_222)] == [
        "0", "32", "950", "5k", "104k", "446k", "1.2M", "6.1M",
    ]  # fmt: skip
