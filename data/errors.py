"""The error every data source raises when its input cannot be used."""


class DataError(ValueError):
    """Input data that cannot be used: one sentence naming the file, the record and the remedy."""
