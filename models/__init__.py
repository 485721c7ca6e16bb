"""The replicated systems and the one training loop."""
