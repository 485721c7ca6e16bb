"""How numbers are written: in captions, tables, legends and on axes."""

from __future__ import annotations


def count(number: float) -> str:
    """Short form of a count: 950, 5k, 104k, 6.1M."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            short = number / size
            return f"{short:.0f}{suffix}" if short >= 20 or short == round(short) else f"{short:.2g}{suffix}"
    return f"{number:g}"


def number(value: float) -> str:
    """Two digits, with a power of ten where there would be more than two zeros: 0.043, 4.4 × 10⁻⁹."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return rf"${mantissa} \times 10^{{{int(exponent)}}}$"


def scientific(number: float) -> str:
    """3e-4, as in the paper's legends."""
    mantissa, exponent = f"{float(number):.6e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
