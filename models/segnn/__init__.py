"""SEGNN: steerable E(3)-equivariant message passing on charged particles."""
