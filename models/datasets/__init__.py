"""Data modules that several systems share."""
