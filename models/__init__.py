"""The replicated systems, and the training loop that they share."""
