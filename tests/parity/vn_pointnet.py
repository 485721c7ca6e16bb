"""VN-PointNet on a parity case: the classifier or its single layers, plain or ES-relaxed.

Official tensors are (B, C, 3, N[, k]), ours (3, B, N[, k], C). An ES-relaxed map is y = W v + proj (W_un v + b).
"""

import copy
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext

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
from twirl.relaxation import ES, Place, Relaxed, prune, relax
from twirl.representations import Vectors

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


def _relaxed(
    module: nn.Module,
    places: Sequence[Place],
    terms: Mapping[str, DenseTerm],
    settings: Mapping,
    variant: str = "upstream",
) -> Relaxed:
    """The module relaxed by ES with the official terms; places without a bias upstream have one of 0."""
    method = ES(epochs=1, reg=1.0, lie_derivative=variant)  # weighed where the loss is formed
    net = relax(module, method, places, check=False)
    assert terms.keys() == {place.name for place in places}
    for place, of_place in zip(places, method.all_terms, strict=True):
        of_place.W.data.copy_(terms[place.name].weight)
        if terms[place.name].bias is not None:
            of_place.b.data.copy_(terms[place.name].bias)
    method.alpha = settings["proj"]
    return net


def _places_of(layer: nn.Module, maps: Collection[str]) -> list[Place]:
    """The named maps of a layer, as VNPointNet.places has them; a direction reads what its feature reads."""

    def place(name: str, mapped: VNLinear) -> Place:
        shapes = (mapped.in_features, 3), (mapped.out_features, 3)
        owner, _, kind = name.rpartition("direction")
        reads = f"{owner}feature" if kind == "" and owner != name else None
        return Place(name, Vectors(), Vectors(), *shapes, axes=(-1, 0), reads=reads)

    return [place(name, module) for name, module in layer.named_modules() if name in maps]


def _mode(module: nn.Module, mode: str) -> None:
    """Batch norms in this mode; a relaxed network takes its method's alpha, and records its inputs, in either."""
    module.train(mode == "train")
    if isinstance(module, Relaxed):
        module.training = True


def _penalties(net: nn.Module) -> dict[str, Tensor]:
    """Sums over all maps, by the variant that the network's method computes."""
    if not isinstance(net, Relaxed):
        return {}
    sums = zip(("lie", "norm"), zip(*net.method.sums(), strict=True), strict=True)
    return {f"{kind}_{net.method.variant}": sum(of_places) for kind, of_places in sums}


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
    """'conv1.feature.terms.W' -> 'feat.conv1.dense_lin.weight'; plain names by the converter's rules."""
    name = re.sub(r"^(backbone\.)?(0(\.|$))?", "", name).replace("equivariant.", "")
    plain, found, term = name.rpartition("terms.")
    if not found:
        return official_name(name, RULES)
    key = official_name(f"{plain}weight", RULES)
    for ours, dense in {"map_to_feat": "dense_lin", "map_to_dir": "dense_map_to_dir"}.items():
        key = key.replace(ours, dense)
    return key if term == "W" else key.removesuffix("weight") + "bias"


def _running(module: nn.Module) -> dict[str, Tensor]:
    return {_official_parameter(n): b.clone() for n, b in module.named_buffers() if "running" in n}


def _layers(case: Case, inputs: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    settings = case.config["hyperparameters"]
    weights, results = case.tensors("weights"), {}
    runs = [re.match(r"(\w+)\.(\w+)\.(eval|train)(\.|$)", name) for name in case.tensors("outputs")]
    for name, x, mode in sorted({run.groups()[:3] for run in runs if run}):
        state = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
        slope = 0.2 if name.startswith("vnleakyrelu") or name.endswith("shared") else 0.0
        layer = LAYERS[_layer_kind(name)](state, slope=settings.get("slope", slope)).to(dtype)
        terms = load_state(layer, state, f"{case}: {name}")
        terms = {f"0.{mapped}".removesuffix("."): term for mapped, term in terms.items()}
        layer, squares = nn.Sequential(layer), isinstance(layer, VNMaxPool)
        for variant in ("upstream", "correct") if terms else ("plain",):
            net = _relaxed(layer, _places_of(layer, terms), terms, settings, variant) if terms else layer
            found = _layer(net, inputs[x], mode, squares)
            results |= {f"{name}.{x}.{mode}{k}": v for k, v in found.items()}
    if "points" in inputs:
        points = inputs["points"].mT
        results["graph_feature_cross"] = _official(edge_features(points, nearest(points, settings["K"])))
    return results


def _layer(net: nn.Module, x: Tensor, mode: str, squares: bool) -> dict[str, Tensor]:
    """Output, gradients of the README's scalar, which is a sum of squares or of sines, and running statistics."""
    _mode(net, mode)
    x = x.clone().requires_grad_()
    out, *frame = out if isinstance(out := net(_ours(x)), tuple) else (out,)
    out, results = _official(out), {}
    i = torch.arange(out.numel(), dtype=out.dtype).view(out.shape)
    results[""] = out
    if frame:
        results[".frame"] = frame[0].movedim((0, -1), (1, 2))
    scalar = out.square().sum() if squares else (out * i.sin()).sum()
    for key, gradient in _gradients(net, scalar, x).items():
        results[".grad_x" if key == "x" else f".grad.{key}"] = gradient
    if mode == "train":
        results |= {f".{key}": value for key, value in _running(net).items()}
    results |= {f".{key}": value for key, value in _penalties(net).items()}
    if mode == "eval":
        with net.reading("projected") if isinstance(net, Relaxed) else nullcontext():
            equivariant = net(_ours(x))
        results[".equiv"] = _official(equivariant[0] if frame else equivariant)
    return results


def _network(case: Case, dtype: torch.dtype) -> tuple[VNPointNet, dict[str, DenseTerm]]:
    settings, weights = case.config["hyperparameters"], case.tensors("weights")
    widths = {w: settings[w] for w in ("c1", "c2", "c3", "f1", "f2", "h1", "h2") if w in settings}
    network = VNPointNet(
        VNPointNetConfig(
            classes=settings["num_class"],
            neighbours=settings["k"],
            pooling=settings.get("pooling", "mean"),
            dropout=0.0,
            global_branch=any(".fstn." in key for key in weights),
            **widths,
        )
    ).to(dtype)
    return network, load_state(network, weights, str(case))


def _classifier(case: Case, inputs: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The penalty that the case calls `loss` is upstream's; the intended one has names of its own."""
    settings, results = case.config["hyperparameters"], {}
    weight = settings.get("penalty_weight", 0.01)
    for mode, prefix in {"eval": "", "train": "train."}.items():
        for variant in ("correct", "upstream"):
            network, terms = _network(case, dtype)
            if terms:
                network = _relaxed(network, network.places(), terms, settings, variant)
            found = _run(network, mode, inputs, weight)
            of_variant = {k: v for k, v in found.items() if re.match(r"loss$|grad\.", k)}
            found |= {re.sub(r"^(loss|grad)", rf"\1_{variant}", k): v for k, v in of_variant.items()}
            results |= {prefix + key: value for key, value in found.items()}
            if terms:
                network, _ = _network(case, dtype)
                network = _relaxed(network, network.places(), terms, settings, variant)
                with network.reading("projected"):
                    found = _run(network, mode, inputs, weight)
                for key, value in found.items():
                    results |= dict.fromkeys(
                        (f"{prefix}{key}.equiv", f"{prefix}{key}_equiv", f"{prefix}equiv.{key}"), value
                    )
    return results


def _run(net: nn.Module, mode: str, inputs: Mapping[str, Tensor], weight: float) -> dict[str, Tensor]:
    """What a case may expect of one forward and backward pass; weight: of a relaxed network's penalty."""
    _mode(net, mode)
    relaxed = isinstance(net, Relaxed)
    projected = relaxed and net._reading is not None
    network = net.backbone if relaxed else net
    untouched = prune(net, "projected" if projected else "kept") if relaxed else copy.deepcopy(net)
    seen = {}
    handles = [
        module.register_forward_hook(
            lambda _, given, out, name=name: seen.update({name: (given[0], out)}),
        )
        for name, module in network.named_modules()
        if name
    ]
    leaf = inputs["points"].clone().requires_grad_()
    points = leaf.mT
    log_probs = net(points).log_softmax(-1)
    for handle in handles:
        handle.remove()
    results = {"log_probs": log_probs}
    inner = re.compile(r"(feature|direction|norm|equivariant|terms)$")
    acts = {name: out for name, (_, out) in seen.items() if not inner.search(name)}
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
    if not projected:
        results |= {f"penalty.{key}": value for key, value in _penalties(net).items()}
    if "target" in inputs:
        nll = F.nll_loss(log_probs, inputs["target"].long())
        loss = nll + weight * net.extra_loss() if relaxed and not projected else nll
        results |= {"nll": nll, "loss": loss}
        for key, gradient in _gradients(net, loss, leaf).items():
            results[f"grad.{'points' if key == 'x' else key}"] = gradient
    results |= _running(net)
    if mode == "eval":
        if "rotation" in inputs:
            results["log_probs_rotated"] = net(points @ inputs["rotation"].T).log_softmax(-1)
        results["log_probs_reflected"] = net(-points).log_softmax(-1)
    return results
