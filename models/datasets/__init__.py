"""Batches of data sets that several systems train on."""
