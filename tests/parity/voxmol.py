"""VoxMol on a parity case: voxeliser, augmentation and peaks; or network, metric, sampler and training steps."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from analysis.measure.latents import pooled, rotated_latents
from models.datasets.geom_drugs import PADDING
from models.official import official_name
from models.training.optimizer import optimizer as made_optimizer
from models.training.settings import Optimizer
from models.voxmol.atoms import THRESHOLD, find_peaks, refine
from models.voxmol.augment import Pose, euler_xyz
from models.voxmol.curvature import last_layer_hessians
from models.voxmol.official import RULES, load_state
from models.voxmol.sampling import Walk, score, walk_step
from models.voxmol.settings import GridConfig, VoxMolConfig, VoxMolTaskSettings
from models.voxmol.task import VoxMolTask, density_problem
from models.voxmol.voxels import smooth_density, voxelise
from tests.parity.case import Case, Result
from twirl.representations import Voxels
from twirl.rotations import RotationSet

GROUPS = {
    "voxelizer": {
        "densities": ("grid", "grid_large"),
        "gradients": ("scalar", "grad"),
        "atoms": ("aug", "peaks.input", "peaks.init"),
        "refined": ("peaks.refined",),
    },
    "unet": {
        "forward": (
            "pred",
            "act",
            "score",
            "loss_sum",
            "loss_mean",
            "latent_pooled",
            "n_params_without_grad",
        ),
        "backward": ("grad",),
        "measured": ("twirl", "latent", "hessian"),
        "walk": ("wjs.y", "wjs.v"),
        "jump": ("wjs.xhat",),
        "training": ("train", "adamw"),
    },
}
TOLERANCES = {"jump": 1e-8, "training": 1e-7}


def kind(case: Case) -> str:
    if "half_window" in case.config:
        return "voxelizer"
    if "ch_mults" in case.config:
        return "unet"
    raise ValueError(f"{case}: neither a voxeliser (half_window) nor a U-Net (ch_mults)")


def groups(case: Case) -> list[str]:
    names = list(case.tensors("outputs"))
    return [g for g in GROUPS[kind(case)] if any(belongs(name, g) for name in names)]


def belongs(name: str, group: str) -> bool:
    """Which group of outputs an expected tensor is compared in."""
    prefixes = next(of_kind[group] for of_kind in GROUPS.values() if group in of_kind)
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def compute(case: Case, group: str) -> Result:
    if kind(case) == "voxelizer":
        return Result(*_voxelizer(case, group))
    parts = {"forward": _forward, "backward": _backward, "measured": _measured, "training": _training}
    outputs = parts.get(group, _walk)(case, _task(case), _doubled(case.tensors("inputs")))
    return Result(outputs, TOLERANCES.get(group, 1e-9), scale_to_largest=True)


def _voxelizer(case: Case, group: str) -> tuple[dict[str, Tensor], float]:
    inputs, c = case.tensors("inputs"), case.config
    padding = inputs["channels"] == c["padding_value"]
    channels = inputs["channels"].long().where(~padding, PADDING)
    grids = {
        name: GridConfig(size=c[name], resolution=c["resolution"], half_window=c["half_window"])
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


def _doubled(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: x.double() if x.is_floating_point() else x for name, x in tensors.items()}


def adamw(lr: float, weight_decay: float, betas: tuple[float, float]) -> Optimizer:
    return Optimizer(name="scale_free_adamw", lr=lr, weight_decay=weight_decay, betas=betas)


def _task(case: Case) -> VoxMolTask:
    c = case.config
    config = VoxMolConfig(
        elements=c["n_elements"],
        channels=c["n_channels"],
        multipliers=c["ch_mults"],
        attention=c["is_attn"],
        blocks=c["n_blocks"],
        groups=c["n_groups"],
        dropout=c.get("dropout", 0.0),
    )
    train = c.get("train", {})
    optimizer = adamw(train.get("lr", 2e-5), train.get("wd", 0.01), train.get("betas", (0.99, 0.999)))
    task = VoxMolTask(
        VoxMolTaskSettings(
            network=config,
            optimizer=optimizer,
            grid=GridConfig(size=c["grid_dim"]),
            sigma=c["sigma"],
            ema_decay=train.get("ema_decay", 0.999),
        )
    ).double()
    for network in task.networks.values():
        load_state(network, case.tensors("weights"), str(case))
    return task.eval()


def _official(gradients: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + official_name(name, RULES): value for name, value in gradients.items()}


def _forward(case: Case, task: VoxMolTask, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    network, seen = task.network, {}
    y = task.noised(inputs["voxels"], inputs["noise"])
    handles = [
        module.register_forward_hook(lambda _, given, out, name=name: seen.update({name: out}))
        for name, module in network.named_modules()
        if name
    ]
    pred = network(y)
    for handle in handles:
        handle.remove()
    loss = (pred - inputs["voxels"]).square()
    parameters = sum(p.numel() for p in case.tensors("weights").values())
    ours = sum(p.numel() for p in network.parameters())
    acts = _official({f"{name}.": out for name, out in seen.items()}, "act.")
    return {name.removesuffix("."): out for name, out in acts.items()} | {
        "pred": pred,
        "score": score(network, y, task.sigma),
        "loss_sum": loss.sum().reshape(1),
        "loss_mean": loss.mean().reshape(1),
        "latent_pooled": pooled(network.latents(y)),
        "n_params_without_grad": torch.tensor([parameters - ours]),
    }


def _backward(case: Case, task: VoxMolTask, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    network, y = task.network, task.noised(inputs["voxels"], inputs["noise"]).requires_grad_()
    (network(y) - inputs["voxels"]).square().sum().backward()
    own = {name: p.grad for name, p in network.named_parameters()}
    return _official(own, "grad.") | {"grad.input": y.grad}


def _rotations(case: Case) -> Tensor:
    """Of the case, (R, 3, 3): output axis i is input axis permutation[i], times signs[i]."""
    matrices = torch.zeros(len(case.config["rotations"]), 3, 3, dtype=torch.float64)
    for matrix, rotation in zip(matrices, case.config["rotations"], strict=True):
        matrix[range(3), rotation["permutation"]] = torch.tensor(rotation["signs"], dtype=torch.float64)
    return matrices


def _measured(case: Case, task: VoxMolTask, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    network, R = task.network, _rotations(case)
    y = task.noised(inputs["voxels"], inputs["noise"])
    rotations = RotationSet(R, torch.full((len(R),), 1 / len(R), dtype=torch.float64), "iid")
    with torch.no_grad():
        problem = density_problem(network, y, inputs["voxels"])
        result = problem.decompose(rotations)
        z0 = problem.twist(rotations)[0]
        phi, phi_turned = network.latents(y), rotated_latents(network, y, R[:1])
    naive, each = result.naive, result.per_sample_naive
    mean, equiv = last_layer_hessians(network, y, R)
    turned = Voxels().act(R[:1], phi[None])[0]
    return {
        "twirl.z0": z0,
        "twirl.mu": result.mu,
        "twirl.losses": torch.tensor(
            [naive.L_total, naive.L_mean, naive.L_equiv, result.percent / 100], dtype=torch.float64
        ),
        "twirl.losses_per_molecule": torch.stack([each.L_total, each.L_mean, each.L_equiv], dim=1),
        "latent.cos_equiv": F.cosine_similarity(turned.flatten(1), phi_turned.flatten(1)),
        "latent.cos_inv": F.cosine_similarity(pooled(phi), pooled(phi_turned)),
        "hessian.L_mean_block0": mean,
        "hessian.L_equiv_block0": equiv,
    }


@torch.no_grad()
def _walk(case: Case, task: VoxMolTask, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    c = case.config["wjs"]
    walk = Walk(task.sigma, c["delta"], c["friction"], c["lipschitz"])
    y, v = inputs["wjs_y0"], inputs["wjs_v0"]
    for noise in inputs["wjs_xi"][: c["steps"]]:
        y, v = walk_step(task.network, y, v, noise, walk)
    return {"wjs.y": y, "wjs.v": v, "wjs.xhat": task.network(y)}


@sdpa_kernel(SDPBackend.MATH)
def _training(case: Case, task: VoxMolTask, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Attention is saturated here, and without epsilon gradients of 1e-20 move weights as others do: fused attention
    rounds them to something else.
    """
    optimizer, losses = task.configure_optimizers(), []
    for noise in inputs["train_noise"]:
        loss = (task.network(task.noised(inputs["voxels"], noise)) - inputs["voxels"]).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        task.ema.update_parameters(task.network)
        losses.append(loss.detach())
    outputs = {"train.losses_sum": torch.stack(losses)}
    for series, name in (("raw", "train.param."), ("ema", "train.ema.")):
        outputs |= _official(dict(task.networks[series].named_parameters()), name)
    return outputs | {"adamw.p_final": _toy(case.config["adamw_toy"], inputs)}


def _toy(c: Mapping, inputs: Mapping[str, Tensor]) -> Tensor:
    p = inputs["adamw_p0"].clone().requires_grad_()
    optimizer = made_optimizer(adamw(c["lr"], c["weight_decay"], c["betas"]), [p])
    for gradient in inputs["adamw_grads"][: c["steps"]]:
        p.grad = gradient.clone()
        optimizer.step()
    return p.detach()
