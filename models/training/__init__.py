"""The training loop that all systems share: steps, checkpoints, metrics."""
