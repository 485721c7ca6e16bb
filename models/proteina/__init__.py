"""Proteína: a transformer with pair-biased attention that learns the flow of C-alpha chains; not equivariant."""
