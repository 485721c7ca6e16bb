"""EGNO on a parity case: intermediates, predictions, loss and gradients of motion capture and of particles.

A case's graphs are one graph to us: their edges differ from those of a batch only in their numbering.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.egno.layers import Nodes
from models.egno.messages import Graph
from models.egno.network import EGNO
from models.egno.official import load_state, official_state
from models.egno.settings import EGNOConfig
from tests.parity.case import Case, Result

TOLERANCES = {"values": 1e-12, "gradients": 1e-12, "float32": 5e-6}
# Settings of a case, by ours.
NAMES = {
    "layers": "n_layers",
    "hidden": "hidden",
    "node_features": "node_features",
    "edge_features": "edge_features",
    "frames": "num_timesteps",
    "modes": "num_modes",
    "time_features": "time_emb_dim",
    "flat": "flat",
    "norm": "norm",
    "velocity": "use_velocity",
    "time_conv": "use_time_conv",
}


def groups(case: Case) -> list[str]:
    if case.config.get("task") not in ("mocap", "nbody") or case.config.get("activation", "silu") != "silu":
        raise ValueError(
            f"{case}: task {case.config.get('task')!r} is not an EGNO of mocap or nbody with SiLU"
        )
    return [g for g in TOLERANCES if any(belongs(name, g) for name in case.tensors("outputs"))]


def belongs(name: str, group: str) -> bool:
    """Which group of outputs an expected tensor is compared in."""
    kind = {"grad": "gradients", "f32": "float32"}.get(name.split("/")[0], "values")
    return kind == group


def compute(case: Case, group: str) -> Result:
    dtype = torch.float32 if group == "float32" else torch.float64
    inputs = {k: v.to(dtype) if v.is_floating_point() else v for k, v in case.tensors("inputs").items()}
    config = EGNOConfig(**{ours: case.config[name] for ours, name in NAMES.items() if name in case.config})
    network = EGNO(config)
    load_state(network, case.tensors("weights"), str(case))
    network = network.to(dtype)
    return Result(_results(network, inputs), TOLERANCES[group], scale_to_largest=True)


def _results(network: EGNO, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    x, v, h, edge_attr, centre = (inputs[k][None] for k in ("x", "v", "h", "edge_attr", "loc_mean"))
    edges = inputs["edge_index"]
    T = network.config.frames
    results = {}
    embedded = network.embed(h, (x - centre).expand(T, *x.shape), v.expand(T, *v.shape))
    if network.config.time_conv:
        mixed = network.time_convs[0](embedded)
        pair = torch.stack([x - centre, v], dim=-1).expand(T, *x.shape, 2)
        pair = network.time_convs_x[0](pair)
        results |= {"time_conv_h_0_out": mixed, "time_conv_x_0_out": pair}
    else:
        mixed, pair = embedded, torch.stack([x - centre, v], dim=-1).expand(T, *x.shape, 2)
    nodes = Nodes(mixed, pair.mT.flatten(-2))
    moved = pair[..., 0] + centre, pair[..., 1]
    graph = Graph(edges, x.shape[1], x)
    x0, h0 = network.layers[0](*moved, nodes, edge_attr, graph, graph.bags(1), last=False)
    results |= {"embedding_out": embedded, "layer_0_x": x0, "layer_0_v": moved[1], "layer_0_h": h0}
    x1, v1, h1 = network.trajectory(x, v, h, edges, edge_attr, centre, features=True)
    results |= {"x_pred": x1, "v_pred": v1, "h_final": h1}
    results = {name: value.squeeze(1) for name, value in results.items()}
    per_frame = (results["x_pred"] - inputs["target"]).square().mean((1, 2))
    loss = per_frame.mean()
    results |= {"loss": loss.reshape(1), "loss_per_frame": per_frame}
    loss.backward()
    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in network.named_parameters()
    }
    grads = {f"grad/{name}": g for name, g in official_state(network, gradients).items()}
    return results | grads | {f"f32/{name}": value for name, value in results.items()}
