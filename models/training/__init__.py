"""The training loop every system shares: steps, checkpoints, metrics."""
