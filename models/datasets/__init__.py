"""Batches of every data set, whichever systems train on them."""
