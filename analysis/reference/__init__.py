"""The numbers of both papers: printed ones as data of ours, and their curves where these are present."""
