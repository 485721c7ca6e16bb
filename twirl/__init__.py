"""Twirled predictions, equivariance error and relaxed equivariance for anyone's model."""
