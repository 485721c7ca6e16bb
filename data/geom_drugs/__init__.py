"""GEOM-Drugs: drug-like molecules with ensembles of conformers."""
