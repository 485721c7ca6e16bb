"""Simple networks for motions of points, beside which Table 2 puts the relaxed ones."""
