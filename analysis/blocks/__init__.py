"""Numbers in prose: blocks of README and docs that are filled from the published results, never typed."""
