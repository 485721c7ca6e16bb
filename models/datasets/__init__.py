"""Batches of every data set, which all systems share."""
