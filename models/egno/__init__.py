"""EGNO: E(3)-equivariant prediction of several future frames of a system of points at once."""
