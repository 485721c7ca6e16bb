"""Elements that the published grid has a channel for, in upstream's order (spec voxmol.md section 3)."""

SYMBOLS = ("C", "H", "O", "N", "F", "S", "Cl", "Br")
ATOMIC_NUMBERS = (6, 1, 8, 7, 9, 16, 17, 35)
