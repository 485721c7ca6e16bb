"""Numbers drawn from names: an order, or a seed, that depends on nothing but the name."""

import hashlib


def name_digest(name: str, seed: int = 0) -> int:
    """A 64-bit number drawn from (seed, name), by which records are ordered whatever order they come in."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "big")
