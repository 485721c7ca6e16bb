"""VoxMol on a parity case: voxeliser, augmentation and peaks; or network, metric, sampler and training steps."""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.voxmol.atoms import THRESHOLD, find_peaks, refine
from models.voxmol.augment import Pose, euler_xyz
from models.voxmol.voxels import PADDING, GridConfig, smooth_density, voxelise
from tests.parity.case import Case, Result

GROUPS = {
    "voxelizer": {
        "densities": ("grid", "grid_large"),
        "gradients": ("scalar", "grad"),
        "atoms": ("aug", "peaks.input", "peaks.init"),
        "refined": ("peaks.refined",),
    },
}


def kind(case: Case) -> str:
    if "half_window" in case.config:
        return "voxelizer"
    raise ValueError(f"{case}: neither a voxeliser (half_window) nor a U-Net (ch_mults)")


def groups(case: Case) -> list[str]:
    names = list(case.tensors("outputs"))
    return [g for g in GROUPS[kind(case)] if any(belongs(name, g) for name in names)]


def belongs(name: str, group: str) -> bool:
    """Which group of outputs an expected tensor is compared in."""
    prefixes = next(of_kind[group] for of_kind in GROUPS.values() if group in of_kind)
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def compute(case: Case, group: str) -> Result:
    return Result(*_voxelizer(case, group))


def _voxelizer(case: Case, group: str) -> tuple[dict[str, Tensor], float]:
    inputs, c = case.tensors("inputs"), case.config
    padding = inputs["channels"] == c["padding_value"]
    channels = inputs["channels"].long().where(~padding, PADDING)
    grids = {
        name: GridConfig(c[name], c["resolution"], half_window=c["half_window"])
        for name in ("grid_dim", "grid_dim_large")
    }
    atoms = inputs["coords"], channels
    if group == "densities":
        return _densities(*atoms, inputs["radius"], grids, c["n_channels"]), 5e-6
    if group == "gradients":
        return _gradients(*atoms, inputs, grids["grid_dim"], c["n_channels"]), 1e-4
    small = voxelise(*atoms, grids["grid_dim"], c["n_channels"], inputs["radius"])
    noisy = small[:1] + c["peak_noise"] * inputs["peak_noise_unit"]
    peaks = find_peaks(noisy[0], grids["grid_dim"])
    if group == "refined":
        refined = refine(peaks, noisy[0].where(noisy[0] >= THRESHOLD, 0), grids["grid_dim"])
        names = {"coords": refined.coordinates[None], "atoms_channel": refined.channels[None]}
        return {f"peaks.refined.{name}": value for name, value in names.items()}, 2e-2
    found = {"peaks.init.coords": peaks.coordinates[None], "peaks.init.atoms_channel": peaks.channels[None]}
    return found | {"peaks.input": noisy} | _augmented(*atoms, inputs, padding), 1e-5


def _densities(
    coordinates: Tensor, channels: Tensor, radii: Tensor, grids: Mapping[str, GridConfig], count: int
) -> dict[str, Tensor]:
    small = voxelise(coordinates, channels, grids["grid_dim"], count, radii)
    by_logarithms = smooth_density(coordinates, channels, grids["grid_dim"], count, radii)
    torch.testing.assert_close(small, by_logarithms, rtol=0, atol=5e-6)
    large = smooth_density(coordinates, channels, grids["grid_dim_large"], count, radii)
    index = large.nonzero()
    return {
        "grid": small,
        "grid_large.index": index,
        "grid_large.value": large[tuple(index.T)],
        "grid_large.channel_sum": large.sum((2, 3, 4)),
        "grid_large.zero_predictor_mse": large.square().mean().reshape(1),
    }


def _gradients(
    coordinates: Tensor, channels: Tensor, inputs: Mapping[str, Tensor], grid: GridConfig, count: int
) -> dict[str, Tensor]:
    leaf = coordinates.clone().requires_grad_()
    scalar = (smooth_density(leaf, channels, grid, count, inputs["radius"]) * inputs["grid_weights"]).sum()
    scalar.backward()
    return {"scalar": scalar.reshape(1), "grad.coords": leaf.grad}


def _augmented(
    coordinates: Tensor, channels: Tensor, inputs: Mapping[str, Tensor], padding: Tensor
) -> dict[str, Tensor]:
    matrix, shift = euler_xyz(inputs["angles"]), inputs["shift_unit"] - 0.5
    one, nowhere = torch.eye(3)[None], torch.zeros(1, 3)
    poses = {"centred": (one, nowhere), "rotated": (matrix[None], nowhere), "shifted": (matrix[None], shift)}
    results = {}
    for name, pose in poses.items():
        posed = Pose(*pose)(coordinates[:1], channels[:1])[0]
        results[f"aug.{name}"] = posed.where(~padding[0, :, None], coordinates[0])
    return results | {"aug.matrix": matrix}
