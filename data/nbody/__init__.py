"""Trajectories of charged particles, simulated as every paper on them does, in one packed store."""
