"""Pure functions from results to numbers, each with its interval, seeds and unit: no drawing, no sentences."""
