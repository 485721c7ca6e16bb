"""Raw bytes to prepared stores, one folder per data set."""
