"""EScAIP v1 network: forward pass, training loss, decomposition and gradients on a parity case."""

from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor

from models.datasets.spice import MoleculeBatch
from models.escaip.closed_form import exact_losses, head_variance, twirled_forces
from models.escaip.network import EScAIP
from models.escaip.official import RULES, load_state
from models.escaip.settings import EScAIPConfig, EScAIPTaskSettings
from models.escaip.smearing import gaussian_smearing
from models.escaip.task import EScAIPTask
from models.official import official_name
from tests.parity.case import Case, Result
from twirl.gradients import loss_gradients
from twirl.problem import Problem
from twirl.representations import BatchIndex, Count, Identity, Tree, Vectors
from twirl.rotations import RotationSet

KINDS = {"escaip_v1_direct"}


def groups(case: Case) -> list[str]:
    if case.config.get("model") not in KINDS:
        raise ValueError(f"{case}: model {case.config.get('model')!r} is none of {sorted(KINDS)}")
    return ["forward", "decomposition", "gradients", "float32"]


def belongs(name: str, group: str) -> bool:
    """Which group of outputs an expected tensor is compared in."""
    if group in ("gradients", "float32"):
        return name.startswith("grad") == (group == "gradients")
    decomposed = name in {"twisted_forces", "metrics", "closed_form", "closed_form_mu"}
    return not name.startswith("grad") and decomposed == (group == "decomposition")


def compute(case: Case, group: str) -> Result:
    dtype = torch.float32 if group == "float32" else torch.float64
    task = _task(case, dtype)
    batch = _batch(case.tensors("inputs"), dtype)
    rotations = case.tensors("inputs")["rotations"].to(dtype)
    if group == "forward":
        return Result(_forward(task, batch), 1e-10)
    if group == "decomposition":
        return Result(_decomposition(task.network, batch, rotations), 1e-10)
    if group == "gradients":
        return Result(_gradients(task, batch, rotations), 1e-8)
    both = _forward(task, batch) | _decomposition(task.network, batch, rotations)
    return Result(both, 2e-4, scale_to_largest=True)


def _task(case: Case, dtype: torch.dtype) -> EScAIPTask:
    known = {f.name for f in fields(EScAIPConfig)}
    config = EScAIPConfig(**{key: value for key, value in case.config.items() if key in known})
    task = EScAIPTask(EScAIPTaskSettings(network=config)).to(dtype).eval()
    load_state(task.network, case.tensors("weights"), str(case))
    return task


def _batch(inputs: Mapping[str, Tensor], dtype: torch.dtype) -> MoleculeBatch:
    return MoleculeBatch(
        positions=inputs["pos"].to(dtype),
        atomic_numbers=inputs["atomic_numbers"].long(),
        graph_index=inputs["batch"].long(),
        energy=inputs["target_energy"].to(dtype).flatten(),
        forces=inputs["target_forces"].to(dtype),
        conformations=torch.arange(len(inputs["natoms"])),
    )


def _forward(task: EScAIPTask, batch: MoleculeBatch) -> dict[str, Tensor]:
    network = task.network
    seen = {}

    def keep(name):
        return lambda module, inputs, output: seen.update({name: (inputs, output)})

    block = network.blocks[0]
    handles = [
        module.register_forward_hook(keep(name))
        for name, module in {
            "input": network.input_block,
            "attention": block.attention,
            "block": block,
            "readout": network.readouts[0],
        }.items()
    ]
    geometry = network.geometry(batch.positions, batch.atomic_numbers, batch.graph_index, batch.num_graphs)
    latents = network.latents(geometry)
    for handle in handles:
        handle.remove()
    graph, used = geometry.graph, geometry.graph.mask[..., None]
    terms = network.force_terms(latents)
    (normed, _), attended = seen["attention"]
    message = block.attention.message(normed, geometry)
    query, key, _ = block.attention.query_key_value(message)
    logits = query @ key.mT / query.shape[-1] ** 0.5 + block.attention.logit_bias(graph)
    energy, force = task.loss(batch)
    outputs = {
        "neighbor_list": graph.neighbors,
        "neighbor_mask": graph.mask.int(),
        "edge_direction": graph.direction,
        "edge_distance_expansion": gaussian_smearing(
            graph, network.config.max_radius, network.config.edge_distance_expansion_size
        ),
        "boo": geometry.bond_order,
        "input_node": seen["input"][1][0],
        "input_edge": seen["input"][1][1] * used,
        "attn0_message": message * used,
        "attn0_softmax": logits.softmax(-1) * used[:, None],
        "attn0_edge": attended * used,
        "attn0_node": geometry.mean(attended),
        "block0_node": seen["block"][1][0],
        "block0_edge": seen["block"][1][1] * used,
        "readout0_node": seen["readout"][1][0],
        "readout0_edge": seen["readout"][1][1] * used,
        "proj_node": latents.node,
        "proj_edge": latents.edge * used,
        "force_direction_coeff": terms.coefficients,
        "force_magnitude": terms.magnitude,
        "forces": terms.forces(),
        "energy": network.energies(latents, batch.graph_index, batch.num_graphs),
        "force_head_variance": head_variance(network).reshape(1),
        "train_loss": task.weighted(energy, force).reshape(1),
    }
    return {name: value.detach() for name, value in outputs.items()}


def _whole_network(network: EScAIP, batch: MoleculeBatch) -> Problem:
    """Rotating the positions through the whole network, where training twists the head alone."""
    return Problem(
        model=lambda x: network(*x)[1],
        x=(batch.positions, batch.atomic_numbers, batch.graph_index, batch.num_graphs),
        y=batch.forces,
        acts_on_x=Tree((Vectors(), Identity(), BatchIndex(), Count())),
        acts_on_y=Vectors(),
        sample_index=batch.graph_index,
    )


def _iid(rotations: Tensor) -> RotationSet:
    return RotationSet(
        rotations, torch.full((len(rotations),), 1 / len(rotations), dtype=torch.float64), "iid"
    )


def _decomposition(network: EScAIP, batch: MoleculeBatch, rotations: Tensor) -> dict[str, Tensor]:
    problem = _whole_network(network, batch)
    result = problem.decompose(_iid(rotations))
    naive = result.naive
    geometry = network.geometry(batch.positions, batch.atomic_numbers, batch.graph_index, batch.num_graphs)
    terms = network.force_terms(network.latents(geometry))
    L_mean, L_equiv, sizes = exact_losses(terms, batch.forces, batch.graph_index, batch.num_graphs)
    shares = sizes.to(L_mean.dtype) / sizes.sum()
    outputs = {
        "twisted_forces": problem.twist(_iid(rotations)),
        "metrics": torch.tensor(
            [naive.L_total, naive.L_mean, naive.L_equiv, naive.percent / 100, result.percent / 100],
            dtype=torch.float64,
        ),
        "closed_form": torch.stack([(shares * L_mean).sum(), (shares * L_equiv).sum()]),
        "closed_form_mu": twirled_forces(terms),
    }
    return {name: value.detach() for name, value in outputs.items()}


def _gradients(task: EScAIPTask, batch: MoleculeBatch, rotations: Tensor) -> dict[str, Tensor]:
    network = task.network
    names = {name: official_name(name, RULES) for name, _ in network.named_parameters()}
    energy, force = task.loss(batch)
    task.weighted(energy, force).backward()
    outputs = {f"grad_train_loss.{names[name]}": p.grad for name, p in network.named_parameters()}
    of_mean, of_equiv = loss_gradients(_whole_network(network, batch), network.parameters(), _iid(rotations))
    for kind, gradients in {"L_mean": of_mean, "L_equiv": of_equiv}.items():
        outputs |= {
            f"grad_{kind}.{name}": gradient for name, gradient in zip(names.values(), gradients, strict=True)
        }
        outputs[f"gradnorm.{kind}"] = torch.stack([g.norm() for g in gradients]).norm().reshape(1)
    return outputs
