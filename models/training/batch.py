"""A batch of tensors that moves as one."""

from dataclasses import fields
from typing import Self


class TensorBatch:
    """Base of dataclasses whose fields are all tensors."""

    def to(self, *args, **kwargs) -> Self:
        return type(self)(*(getattr(self, f.name).to(*args, **kwargs) for f in fields(self)))

    def pin_memory(self) -> Self:
        return type(self)(*(getattr(self, f.name).pin_memory() for f in fields(self)))
