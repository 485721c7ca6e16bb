"""PaiNN on charged particles: an E(3)-equivariant baseline that is in neither paper."""
