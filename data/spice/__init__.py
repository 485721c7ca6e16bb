"""SPICE: conformations of small molecules with energies and forces."""
