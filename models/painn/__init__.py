"""PaiNN on charged particles: an E(3)-equivariant network that neither paper has, as one more baseline."""
