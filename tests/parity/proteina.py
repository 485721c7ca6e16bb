"""Proteína: network, training loss, gradients, equivariance error and sampler on a parity case."""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.datasets.pdb import ChainBatch
from models.official import official_name
from models.proteina.blocks import TriangleMultiplication
from models.proteina.features import time_embedding
from models.proteina.network import Proteina
from models.proteina.official import RULES, load_state
from models.proteina.settings import FlowConfig, PathConfig, ProteinaConfig, ProteinaTaskSettings
from models.proteina.task import Draw, ProteinaTask
from models.training.flow import LinearPath, Noise, centred, sample_path, sampling_times, sde_step
from tests.parity.case import Case, Result
from twirl.rotations import RotationSet

NAMES = {"idx": "index", "chainbreak": "chain_break", "x_sc": "x_sc"}
EPS = "sampler.sde_eps"  # what the noise was, stored with the outputs
SDE_STEP = "sampler.sde_step_t0.4_dt0.05_g1.7_noise0.45"


def groups(case: Case) -> list[str]:
    c = case.config
    if c.get("spec") != "proteina.md" or c.get("loss", {}).get("target") not in ("v", "x_1"):
        raise ValueError(f"{case}: not a case of spec proteina.md with a target of v or x_1")
    return ["forward", "gradients", "metric", "sampler", "float32"]


def belongs(name: str, group: str) -> bool:
    """Which group of outputs an expected tensor is compared in."""
    if group == "float32":
        return name.startswith(("train.", "net.", "metric.")) and ".grad" not in name
    if ".grad" in name:
        return group == "gradients"
    first = name.split(".")[0]
    return group == (first if first in ("metric", "sampler") else "forward")


def compute(case: Case, group: str) -> Result:
    dtype = torch.float32 if group == "float32" else torch.float64
    task, inputs = _task(case, dtype), case.tensors("inputs")
    inputs |= {name: value for name, value in case.tensors("outputs").items() if name == EPS}
    batch = _batch(inputs, dtype)
    parts = {"gradients": (_gradients,), "metric": (_metric,), "sampler": (_sampler,), "forward": (_forward,)}
    outputs = {}
    for part in parts.get(group, (_forward, _metric)):
        outputs |= part(task, batch, inputs)
    return Result(outputs, 1e-4 if group == "float32" else 1e-9, scale_to_largest=group == "float32")


def _task(case: Case, dtype: torch.dtype) -> ProteinaTask:
    c = case.config
    config = ProteinaConfig(
        width=c["token_dim"],
        layers=c["layers"],
        heads=c["heads"],
        pair=c["pair_repr_dim"],
        cond=c["dim_cond"],
        time=c["t_emb_dim"],
        index=c["idx_emb_dim"],
        fold=c["fold_emb_dim"],
        x_t_bins=c["xt_pair_dist"]["dim"],
        x_sc_bins=c["x_sc_pair_dist"]["dim"],
        separation_bins=c["seq_sep_dim"],
        least=c["xt_pair_dist"]["min"],
        largest=c["xt_pair_dist"]["max"],
        registers=c["registers"],
        normalise_queries=c["qk_layer_norm"],
        update_every=c["update_every"] if c["update_pair_repr"] else None,
        triangles=c["triangle_mult"],
        hidden=c["triangle_hidden"],
        buckets=c["pair_head_buckets"],
        fold_classes=tuple(c["fold_classes"][level] for level in "CAT"),
        sequence_features=tuple(NAMES[name] for name in c["seq_feature_order"]),
    )
    loss = c["loss"]
    flow = FlowConfig(
        path=PathConfig(output="velocity" if loss["target"] == "v" else "clean"),
        distogram=loss["aux_weight"] if loss["distogram"] else 0.0,
        distogram_largest=loss["max_dist_boundary_nm"],
        distogram_from=loss["aux_t_min"],
    )
    task = ProteinaTask(ProteinaTaskSettings(network=config, flow=flow)).to(dtype)
    load_state(task.network, case.tensors("weights"), str(case))
    return task


def _batch(inputs: Mapping[str, Tensor], dtype: torch.dtype) -> ChainBatch:
    mask = inputs["mask"].bool()
    index = inputs.get("residue_pdb_idx")
    if index is None:
        index = torch.arange(1, mask.shape[1] + 1).expand(mask.shape)
    breaks = inputs.get("chain_breaks_per_residue", torch.zeros_like(mask))
    coordinates = (inputs["coords_ang"] / 10 * mask[..., None]).to(dtype)
    return ChainBatch(coordinates, mask, index, breaks.bool(), torch.arange(len(mask)))


def _draw(batch: ChainBatch, inputs: Mapping[str, Tensor], self_condition: bool) -> Draw:
    dtype = batch.coordinates.dtype
    rotations = inputs["aug_rotation"].to(dtype).mT  # rows there, columns here
    x_0 = centred(inputs["noise_raw"].to(dtype), batch.mask)
    return Draw(rotations, x_0, inputs["t"].to(dtype), self_condition)


def _ends(batch: ChainBatch, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
    x_1 = centred(torch.einsum("bij,bnj->bni", draw.rotations, batch.coordinates), batch.mask)
    return x_1, draw.x_0, LinearPath().sample(draw.x_0, x_1, draw.t).x_t


def _guess(task: ProteinaTask, batch: ChainBatch, draw: Draw, x_sc: Tensor | None = None) -> Tensor:
    """x1_hat as upstream stores it: at padding it is x_t, which is zero, so nothing needs masking."""
    return task.denoise(task.network, batch, _ends(batch, draw)[2], draw.t, x_sc)[0]


def _forward(task: ProteinaTask, batch: ChainBatch, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    draw = _draw(batch, inputs, False)
    x_1, x_0, x_t = _ends(batch, draw)
    width = task.network.config.time
    outputs = {"x_0": x_0, "x_1": x_1, "x_t": x_t, "time_embedding": time_embedding(draw.t, width)}
    for tag, coin in (("noselfcond", False), ("selfcond", True)):
        with torch.no_grad():
            fm, aux = task.losses(batch, _draw(batch, inputs, coin))
            x_sc = _guess(task, batch, draw) if coin else None
            x1_hat = _guess(task, batch, draw, x_sc)
        outputs |= {f"train.{tag}.fm_loss": fm, f"train.{tag}.aux_loss": aux, f"train.{tag}.x1_hat": x1_hat}
        outputs[f"train.{tag}.loss"] = (fm.mean() + aux.mean()).reshape(1)
        if coin:
            outputs[f"train.{tag}.x_sc"] = x_sc
    with torch.no_grad():
        return outputs | _inside(task.network, batch, x_t, draw.t, outputs["train.selfcond.x_sc"])


def _inside(network: Proteina, batch: ChainBatch, x_t: Tensor, t: Tensor, x_sc: Tensor) -> dict[str, Tensor]:
    """Intermediate values. Upstream zeroes padded places after every part; here they are zeroed when compared."""
    seen = {}
    watched = {"layer": network.layers[0], "norm": network.decoder.norm, "pairs": network.pair_features}
    for update in list(network.pair_updates.values())[:1]:
        watched |= {"update": update, "out": update.outgoing, "in": update.incoming}
        watched["head"] = network.pair_head
    handles = [
        module.register_forward_hook(
            lambda _, inputs, output, name=name: seen.update({name: (inputs, output)})
        )
        for name, module in watched.items()
        if module is not None
    ]
    velocity, _ = network(x_t, t, batch.mask, batch.residue_index, batch.chain_breaks, x_sc)
    for handle in handles:
        handle.remove()
    r, mask = network.config.registers, batch.mask
    tokens = torch.nn.functional.pad(mask, (r, 0), value=True)
    residues, pairs, token_pairs = mask[..., None], _outer(mask), _outer(tokens)
    layer, (x, bias, cond, _) = network.layers[0], seen["layer"][0]
    modulations = layer.modulations(cond, r, mask.shape[1])
    columns = network.pair_features.columns(x_t, batch.residue_index, x_sc)
    outputs = {
        "net.cond": network.condition(t)[:, None] * residues,
        "net.seq_features": network.sequence_features(
            mask, batch.residue_index, batch.chain_breaks, x_sc, x_t
        ),
        "net.pair_features_after_ln": network.pair_features.embedded(columns) * pairs,
        "net.pair_initial": seen["pairs"][1] * pairs,
        "net.layer0_attention_branch_with_registers": layer.attended(x, bias, *modulations[:3])
        * tokens[..., None],
        "net.layer0_with_registers": seen["layer"][1] * tokens[..., None],
        "net.decoder_layernorm_output": network.decoder.norm(seen["norm"][0][0] * residues),
        "net.coors_pred": velocity,
    }
    if "head" in seen:
        outputs["net.pair_pred"] = network.pair_head(seen["head"][0][0] * pairs)
        outputs["net.pair_after_update0_with_registers"] = seen["update"][1] * token_pairs
    for name in {"out", "in"} & seen.keys():
        outputs[f"net.update0_tri_{name}"] = torch.where(
            token_pairs, seen[name][1], _nothing_gathered(watched[name], seen[name][0][0])
        )
    return outputs


def _nothing_gathered(layer: TriangleMultiplication, z: Tensor) -> Tensor:
    """What upstream's layer gives at padded pairs, which have neither features nor anything to gather."""
    empty = z.new_zeros(layer.out.in_features)
    return (
        layer.out(layer.norm_out(empty))
        * layer.out_gate(layer.norm_in(torch.zeros_like(z[0, 0, 0]))).sigmoid()
    )


def _outer(mask: Tensor) -> Tensor:
    return (mask[:, :, None] & mask[:, None])[..., None]


def _gradients(task: ProteinaTask, batch: ChainBatch, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    outputs = {}
    for tag, coin in (("noselfcond", False), ("selfcond", True)):
        task.zero_grad()
        fm, aux = task.losses(batch, _draw(batch, inputs, coin))
        (fm.mean() + aux.mean()).backward()
        gradients = {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for name, p in task.network.named_parameters()
        }
        outputs |= {
            f"train.{tag}.grad.{official_name(name, RULES)}": value for name, value in gradients.items()
        }
        norm = torch.stack([value.norm() for value in gradients.values()]).norm()
        outputs[f"train.{tag}.grad_l2_all"] = norm.reshape(1)
    return outputs


def _metric(task: ProteinaTask, batch: ChainBatch, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    draw = _draw(batch, inputs, False)
    x_1, x_0, _ = _ends(batch, draw)
    R = inputs["metric_rotations"].mT
    rotations = RotationSet(R, torch.full((len(R),), 1 / len(R), dtype=torch.float64), "iid")
    problem = task.fixed_time_problem(task.network, batch, x_0, x_1, 0.5)
    result = problem.decompose(rotations)
    shares = (batch.mask.shape[1] / batch.mask.sum(1).double()).sqrt()[:, None, None]
    naive = result.per_sample_naive
    return {
        "metric.twirled_x1_hat": result.mu.detach() / shares + problem.x["x_t"],
        "metric.mean_pred_error": naive.L_mean,
        "metric.equiv_error_biased": naive.L_equiv,
        "metric.total_mse": naive.L_total,
        "metric.pct_ratio_of_means_corrected": torch.tensor([result.percent / 100], dtype=torch.float64),
    }


def _sampler(task: ProteinaTask, batch: ChainBatch, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    draw = _draw(batch, inputs, False)
    _, x_0, x_t = _ends(batch, draw)
    times = sampling_times(10)
    outputs = {"sampler.schedule_log_p2_10": times, EPS: inputs[EPS]}
    for name, strength in (("1_over_t", "1/t"), ("us", "us"), ("tan", "tan")):
        noise = Noise(strength)
        outputs[f"sampler.g_{name}"] = torch.tensor(
            [noise.g(t) for t in times[:-1].tolist()], dtype=torch.float64
        )

    def denoise(x: Tensor, t: Tensor, previous: Tensor | None) -> Tensor:
        output, _ = task.network(x, t, batch.mask, x_sc=previous)
        return task.path.clean(x, t, output)

    with torch.no_grad():
        outputs["sampler.ode_10_steps_selfcond_x1"] = sample_path(denoise, x_0, batch.mask, times)
        x_sc = _guess(task, batch, draw)
        x1_hat = centred(_guess(task, batch, draw, x_sc), batch.mask)
    velocity = task.path.velocity(x_t, draw.t, x1_hat)
    outputs["sampler.velocity_from_x1_hat"] = velocity
    stepped = sde_step(x_t, velocity, torch.full_like(draw.t, 0.4), 0.05, 1.7, 0.45, inputs[EPS])
    return outputs | {SDE_STEP: centred(stepped, batch.mask)}
