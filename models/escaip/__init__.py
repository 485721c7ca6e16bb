"""EScAIP, version 1, with its direct-force head."""
