"""PDB: C-alpha chains of proteins."""
