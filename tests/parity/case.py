"""One parity case: hyperparameters, official weights, inputs and expected outputs of one folder."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

ROOT = Path(__file__).parents[2]
PARITY_DIR = Path(os.environ.get("PARITY_DIR", ROOT / ".." / "shared" / "parity"))


@dataclass(frozen=True)
class Case:
    """A folder <system>/<case>; tensors are read when asked for."""

    folder: Path

    @property
    def system(self) -> str:
        return self.folder.parent.name

    @property
    def config(self) -> dict:
        return json.loads((self.folder / "config.json").read_text())

    def tensors(self, name: str) -> dict[str, Tensor]:
        """name: weights, inputs or outputs."""
        return load_file(self.folder / f"{name}.safetensors")

    def __str__(self) -> str:
        return f"{self.system}/{self.folder.name}"


def discover() -> list[Case]:
    """Every case below PARITY_DIR; none where that folder is absent."""
    return [Case(path.parent) for path in sorted(PARITY_DIR.glob("*/*/config.json"))]


@dataclass(frozen=True)
class Result:
    """What our implementation gives on a case, and how closely it must agree.

    tensors: by the name of the expected output. scale_to_largest: the tolerance is relative to the largest
    entry of each tensor rather than to each entry. slack: by output, what is allowed beyond the tolerance.
    """

    tensors: Mapping[str, Tensor]
    tolerance: float
    scale_to_largest: bool = False
    slack: Mapping[str, Tensor] = field(default_factory=dict)


def mismatches(result: Result, expected: Mapping[str, Tensor]) -> list[str]:
    """A sentence for every expected tensor that is absent, misshapen or too far off."""
    problems = []
    for name, theirs in expected.items():
        if name not in result.tensors:
            problems.append(f"{name}: not computed")
            continue
        ours = result.tensors[name].detach()
        if ours.shape != theirs.shape:
            problems.append(f"{name}: shape {tuple(ours.shape)} instead of {tuple(theirs.shape)}")
        elif not theirs.dtype.is_floating_point:
            if not torch.equal(ours.to(theirs.dtype), theirs):
                problems.append(f"{name}: {int((ours != theirs).sum())} integers differ")
        else:
            error = (ours.to(theirs.dtype) - theirs).abs() - result.slack.get(name, 0)
            largest = theirs.abs().max().clamp(min=torch.finfo(theirs.dtype).tiny)
            scale = largest if result.scale_to_largest else theirs.abs().clamp(min=1.0)
            worst = (error / scale).max().item()
            if not worst <= result.tolerance:
                problems.append(f"{name}: off by {worst:.2e}, allowed {result.tolerance:.0e}")
    return problems
