"""Simple networks that predict motions of points, the baselines of paper B's Table 2."""
