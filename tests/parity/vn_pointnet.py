"""VN-PointNet on a parity case: the classifier or its single layers, plain or ES-relaxed.

Official tensors are (B, C, 3, N[, k]), ours (3, B, N[, k], C). An ES-relaxed map is y = W v + proj (W_un v + b).
"""

import copy
import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.official import official_name
from models.vn_pointnet.edges import edge_features, nearest
from models.vn_pointnet.layers import (
    VNBatchNorm,
    VNLeakyReLU,
    VNLinear,
    VNLinearLeakyReLU,
    VNMaxPool,
    VNStdFeature,
)
from models.vn_pointnet.network import VNPointNet
from models.vn_pointnet.official import RULES, DenseTerm, load_state
from models.vn_pointnet.settings import VNPointNetConfig
from tests.parity.case import Case, Result

TOLERANCES = {"values": 1e-9, "gradients": 1e-7, "float32": 1e-4, "float32 gradients": 1e-2}
LAYERS = {
    "vnlinear": lambda W, **_: VNLinear(*W["map_to_feat.weight"].shape[::-1]),
    "vnleakyrelu": lambda W, slope: VNLeakyReLU(W["map_to_dir.weight"].shape[1], _shared(W), slope),
    "vnlinearleakyrelu": lambda W, slope: VNLinearLeakyReLU(
        *W["map_to_feat.weight"].shape[::-1], _shared(W), slope
    ),
    "vnbatchnorm": lambda W, **_: VNBatchNorm(len(W["bn.weight"])),
    "vnmaxpool": lambda W, **_: VNMaxPool(len(W["map_to_dir.weight"])),
    "vnstdfeature": lambda W, slope: VNStdFeature(
        W["vn1.map_to_feat.weight"].shape[1], slope, orthonormal=len(W["vn_lin.weight"]) == 2
    ),
}


def _shared(W: Mapping[str, Tensor]) -> bool:
    return len(W["map_to_dir.weight"]) == 1 < W["map_to_dir.weight"].shape[1]


def _layer_kind(name: str) -> str | None:
    """The key of LAYERS that the layer case `name` is of; '_dim4', '_shared' and 'es_' are particulars."""
    return next((kind for kind in LAYERS if re.fullmatch(rf"(es_)?{kind}(_.*)?", name)), None)


def _is_classifier(case: Case) -> bool:
    return "fc3.weight" in case.tensors("weights")


def groups(case: Case) -> list[str]:
    names = {key.split(".")[0] for key in case.tensors("weights")}
    if not _is_classifier(case) and (not names or None in map(_layer_kind, names)):
        raise ValueError(
            f"{case}: neither the VN-PointNet classifier nor layers of the kinds {sorted(LAYERS)}"
        )
    # Batch norms over four clouds magnify rounding a thousandfold: single precision says nothing of a classifier.
    precisions = ["values", "gradients"] if _is_classifier(case) else list(TOLERANCES)
    return [g for g in precisions if any(belongs(name, g) for name in case.tensors("outputs"))]


def belongs(name: str, group: str) -> bool:
    """Which group of outputs an expected tensor is compared in."""
    return (re.search(r"(^|\.)grad[._]", name) is not None) == group.endswith("gradients")


def compute(case: Case, group: str) -> Result:
    dtype = torch.float32 if group.startswith("float32") else torch.float64
    inputs = {k: v.to(dtype) if v.is_floating_point() else v for k, v in case.tensors("inputs").items()}
    tensors = _classifier(case, inputs, dtype) if _is_classifier(case) else _layers(case, inputs, dtype)
    return Result(tensors, TOLERANCES[group], scale_to_largest=True)


class ESMap(nn.Module):
    """A vector-neuron map with ES's dense term, which `proj` scales; proj = 0 leaves it out."""

    def __init__(self, plain: VNLinear, term: DenseTerm, proj: float):
        super().__init__()
        self.plain, self.proj = plain, proj
        self.dense = nn.Parameter(term.weight.to(plain.weight))
        self.bias = None if term.bias is None else nn.Parameter(term.bias.to(plain.weight))

    def forward(self, V: Tensor) -> Tensor:
        self.input = V.detach()
        dense = F.linear(_flat(V), self.dense, self.bias).unflatten(-1, (-1, 3))
        return self.plain(V) + self.proj * dense.movedim((-1, -2), (0, -1))

    def penalties(self) -> tuple[Tensor, Tensor]:
        """Upstream's Lie sum, which mixes up generators and entries, and norm sum (spec vn_pointnet.md 7, item 3)."""
        C_out, C_in = self.plain.weight.shape
        z = _flat(self.input).flatten(0, -2)
        y = F.linear(z, self.dense, self.bias)
        confused = [_generators(v, C).view(len(v), -1, 3) for v, C in ((z, C_in), (y, C_out))]
        lie = torch.einsum("od,ndk->nok", self.dense, confused[0]) + self.bias[:, None] - confused[1]
        return lie.square().sum(), y.square().sum()


def _generators(v: Tensor, C: int) -> Tensor:
    """(rows, 3 C) -> (rows, 9 C): the three generators of rotations applied, one after another."""
    x, y, z = v.view(-1, C, 3).unbind(-1)
    o = torch.zeros_like(x)
    turned = [torch.stack(t, dim=-1) for t in ((o, -z, y), (z, o, -x), (-y, x, o))]
    return torch.cat([t.flatten(1) for t in turned], dim=1)


def _relaxed(module: nn.Module, terms: Mapping[str, DenseTerm], proj: float) -> nn.Module:
    for name, term in terms.items():
        if not name:
            return ESMap(module, term, proj)
        module.set_submodule(name, ESMap(module.get_submodule(name), term, proj))
    return module


def _set_proj(module: nn.Module, proj: float) -> None:
    for child in module.modules():
        if isinstance(child, ESMap):
            child.proj = proj


def _penalties(module: nn.Module) -> dict[str, Tensor]:
    """Sums over the feature maps; those with a direction count twice, which upstream's direction should have."""
    lie, norm = 0, 0
    for name, child in module.named_modules():
        if isinstance(child, ESMap) and child.bias is not None:
            times = 2 if name.endswith("feature") else 1
            lie, norm = (total + times * p for total, p in zip((lie, norm), child.penalties(), strict=True))
    return {"lie_upstream": lie, "norm_upstream": norm} if torch.is_tensor(lie) else {}


def _flat(V: Tensor) -> Tensor:
    """(3, ..., C) -> (..., 3 C), entry 3 c + i."""
    return V.movedim((-1, 0), (-2, -1)).flatten(-2)


def _ours(x: Tensor) -> Tensor:
    return x.movedim((2, 1), (0, -1))


def _official(x: Tensor) -> Tensor:
    return x.movedim((0, -1), (2, 1)) if x.ndim > 2 else x


def _gradients(module: nn.Module, scalar: Tensor, x: Tensor) -> dict[str, Tensor]:
    """By official parameter names, and of the input as 'x'."""
    names, parameters = zip(*module.named_parameters(), strict=True)
    found = torch.autograd.grad(scalar, [x, *parameters], allow_unused=True)
    result = {"x": found[0]}
    for name, gradient in zip(names, found[1:], strict=True):
        if gradient is not None:
            result[_official_parameter(name)] = gradient
    return result


def _official_parameter(name: str) -> str:
    owner, _, last = name.rpartition(".")
    if last not in ("dense", "bias") or f"{owner}.bn".endswith("bn.bn"):
        return official_name(re.sub(r"(^|\.)plain\.", r"\1", name), RULES)
    key = official_name(f"{owner}.weight".lstrip("."), RULES)
    for plain, dense in {"map_to_feat": "dense_lin", "map_to_dir": "dense_map_to_dir"}.items():
        key = key.replace(plain, dense)
    return key if last == "dense" else key.replace("weight", "bias")


def _running(module: nn.Module) -> dict[str, Tensor]:
    return {official_name(n, RULES): b.clone() for n, b in module.named_buffers() if "running" in n}


def _layers(case: Case, inputs: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    settings = case.config["hyperparameters"]
    weights, results = case.tensors("weights"), {}
    runs = [re.match(r"(\w+)\.(\w+)\.(eval|train)(\.|$)", name) for name in case.tensors("outputs")]
    for name, x, mode in sorted({run.groups()[:3] for run in runs if run}):
        state = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
        slope = 0.2 if name.startswith("vnleakyrelu") or name.endswith("shared") else 0.0
        layer = LAYERS[_layer_kind(name)](state, slope=settings.get("slope", slope)).to(dtype)
        terms = load_state(layer, state, f"{case}: {name}")
        layer = _relaxed(layer, terms, settings.get("proj", 0.0)).train(mode == "train")
        results |= {f"{name}.{x}.{mode}{k}": v for k, v in _layer(layer, inputs[x]).items()}
    if "points" in inputs:
        points = inputs["points"].mT
        results["graph_feature_cross"] = _official(edge_features(points, nearest(points, settings["K"])))
    return results


def _layer(layer: nn.Module, x: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    out, *frame = out if isinstance(out := layer(_ours(x)), tuple) else (out,)
    out, results = _official(out), {}
    i = torch.arange(out.numel(), dtype=out.dtype).view(out.shape)
    results[""] = out
    if frame:
        results[".frame"] = frame[0].movedim((0, -1), (1, 2))
    scalar = out.square().sum() if isinstance(layer, VNMaxPool) else (out * i.sin()).sum()
    for key, gradient in _gradients(layer, scalar, x).items():
        results[".grad_x" if key == "x" else f".grad.{key}"] = gradient
    if layer.training:
        results |= {f".{key}": value for key, value in _running(layer).items()}
    results |= {f".{key}": value for key, value in _penalties(layer).items()}
    if not layer.training:
        _set_proj(layer, 0.0)
        equivariant = layer(_ours(x))
        results[".equiv"] = _official(equivariant[0] if frame else equivariant)
    return results


def _network(case: Case, dtype: torch.dtype) -> VNPointNet:
    settings = case.config["hyperparameters"]
    widths = {w: settings[w] for w in ("c1", "c2", "c3", "f1", "f2", "h1", "h2")}
    network = VNPointNet(
        VNPointNetConfig(
            classes=settings["num_class"],
            neighbours=settings["k"],
            pooling=settings.get("pooling", "mean"),
            dropout=0.0,
            **widths,
        )
    ).to(dtype)
    terms = load_state(network, case.tensors("weights"), str(case))
    return _relaxed(network, terms, settings.get("proj", 1.0))


def _classifier(case: Case, inputs: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    results = {}
    for mode in ("eval", "train"):
        for proj in (None, 0.0):
            network = _network(case, dtype).train(mode == "train")
            if proj is not None:
                _set_proj(network, proj)
            prefix = "train." if mode == "train" else ""
            found = _run(network, inputs)
            if proj is None:
                results |= {prefix + key: value for key, value in found.items()}
            else:
                results |= {f"{prefix}{key}.equiv": value for key, value in found.items()}
                results |= {f"{prefix}{key}_equiv": value for key, value in found.items()}
                results |= {f"{prefix}equiv.{key}": value for key, value in found.items()}
    return results


def _run(network: VNPointNet, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    untouched, seen = copy.deepcopy(network), {}
    handles = [
        module.register_forward_hook(
            lambda _, given, out, name=name: seen.update({name: (given[0], out)}),
        )
        for name, module in network.named_modules()
        if name
    ]
    leaf = inputs["points"].clone().requires_grad_()
    points = leaf.mT
    log_probs = network(points).log_softmax(-1)
    for handle in handles:
        handle.remove()
    results = {"log_probs": log_probs}
    acts = {
        name: out
        for name, (_, out) in seen.items()
        if not re.search(r"feature$|direction$|norm$|plain$", name)
    }
    edges = edge_features(points, nearest(points, network.config.neighbours))
    acts |= {"conv_pos": untouched.conv_pos(edges), "pool": seen["conv1"][0]}
    z0 = seen["std_feature.vn_lin"][1]
    V = seen["bn3"][1]
    V = torch.cat([V, V.mean(2, keepdim=True).expand_as(V)], dim=-1)
    acts |= {"std_feature": torch.einsum("i...k,i...c->k...c", z0, V)}
    results |= {f"act.{official_name(name, RULES)}": _official(out) for name, out in acts.items()}
    results |= {
        "act.graph_feature": _official(edges),
        "act.feat": seen["fc1"][0],
        "frame": z0.movedim((0, -1), (1, 2)),
    }
    results |= _penalties(network)
    if "target" in inputs:
        results["loss"] = F.nll_loss(log_probs, inputs["target"].long())
        for key, gradient in _gradients(network, results["loss"], leaf).items():
            results[f"grad.{'points' if key == 'x' else key}"] = gradient
    results |= _running(network)
    if not network.training:
        if "rotation" in inputs:
            results["log_probs_rotated"] = network(points @ inputs["rotation"].T).log_softmax(-1)
        results["log_probs_reflected"] = network(-points).log_softmax(-1)
    return results
