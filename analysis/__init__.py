"""From run folders to the figures and tables of both papers."""
