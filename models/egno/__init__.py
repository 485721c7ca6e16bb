"""EGNO: several future frames of a system of points at once, turning and moving with the input."""
