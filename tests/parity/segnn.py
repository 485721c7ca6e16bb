"""SEGNN and the particles' simulator on a parity case: the network, an ES- or ACE-relaxed layer, or trajectories.

Networks and layers are computed twice where degrees allow, by the fast formulation and by e3nn's products.
"""

from collections.abc import Mapping

import torch
from e3nn import o3
from torch import Tensor, nn

from data.nbody.simulate import InitialState, draw, integrate, start
from models.segnn import network, steerable
from models.segnn.network import SEGNN, CompleteGraph, Edges, MessageLayer
from models.segnn.official import features, flat_weight, load_state, official_features
from models.segnn.products import Irreps, Product
from models.segnn.settings import SEGNNConfig
from models.segnn.steerable import EdgeList, SteerableLayer, SteerableSEGNN
from tests.parity.case import Case, Result
from twirl.relaxation import ACE, ES, relax
from twirl.relaxation.ace import published_mlp


def groups(case: Case) -> list[str]:
    if "simulator" in case.config:
        return ["trajectories"]
    keys = case.tensors("weights")
    if "embedding_layer.tp.weight" not in keys and "update_layer_1.tp.weight" not in keys:
        raise ValueError(f"{case}: neither SEGNN, nor one of its layers, nor a simulation")
    for setting, only in {"norm": "none", "task": "node"}.items():
        if case.config.get(setting, only) != only:
            raise ValueError(f"{case}: {setting} {case.config[setting]!r} is not part of this SEGNN")
    return ["fast", "e3nn"] if _config(case).has_fast_products else ["e3nn"]


def belongs(name: str, group: str) -> bool:
    """Upstream's slip in the Lie derivative depends on the order of features, the official one with e3nn only."""
    return not (group == "fast" and "upstream" in name)


def compute(case: Case, group: str) -> Result:
    if group == "trajectories":
        return _simulation(case)
    keys = case.tensors("weights")
    if "embedding_layer.tp.weight" in keys:
        return Result(_network(case, group), 1e-10, scale_to_largest=True)
    tensors = _es(case, group) if "linear_pass1.lin.weight" in keys else _ace(case, group)
    return Result(tensors, 1e-10, scale_to_largest=True)


# ---- trajectories


def _simulation(case: Case) -> Result:
    """A second integration, from places off by rounding, tells how chaotic each trajectory is up to each frame.

    Upstream's distances come from expanded squares, good to 1e-12 or so in the close encounters that matter.
    """
    config, inputs, tensors, slack = case.config, case.tensors("inputs"), {}, {}
    runs = {}
    if "stream" in config:
        stream = config["stream"]
        frames = stream["length"] // stream["sample_freq"] - 1
        runs["stream"] = draw(stream["seed"], stream["trajectories"], frames), stream
    if "given" in config:
        initial = (inputs[f"given.{name}"].numpy() for name in ("charges", "position", "velocity_direction"))
        charges, position, direction = initial
        runs["given"] = start(charges[..., 0], position, direction), config["given"]
    for name, (initial, times) in runs.items():
        steps = range(times["sample_freq"], times["length"] - times["sample_freq"] + 1, times["sample_freq"])
        off = InitialState(initial.charges, initial.position * (1 + 1e-13), initial.velocity)
        found = dict(zip(("loc", "vel"), integrate(initial, steps), strict=True))
        again = dict(zip(("loc", "vel"), integrate(off, steps), strict=True))
        charges = torch.from_numpy(initial.charges).unsqueeze(-1)
        tensors |= {f"{name}.charges": charges, f"{name}.edges": charges * charges.mT}
        for kind, values in found.items():
            tensors[f"{name}.{kind}"] = torch.from_numpy(values)
            differs = torch.from_numpy(values - again[kind]).abs().amax((2, 3), keepdim=True)
            slack[f"{name}.{kind}"] = 1e3 * differs.cummax(1).values
    return Result(tensors, 1e-9, slack=slack)


# ---- networks


def _hidden(case: Case) -> o3.Irreps:
    return o3.Irreps(case.config["hidden_irreps"])


def _config(case: Case, center: str = "none") -> SEGNNConfig:
    """ValueError for hidden irreps in another order or of other parities than the spherical harmonics have."""
    hidden, config = _hidden(case), case.config
    multiplicities = tuple(hidden.count((l, (-1) ** l)) for l in range(hidden.lmax + 1))  # noqa: E741
    of_attributes = config["lmax_attr"] if "lmax_attr" in config else o3.Irreps(config["attr_irreps"]).lmax
    found = SEGNNConfig(
        layers=config.get("layers", 1),
        lmax=hidden.lmax,
        center=center,
        particles=config["particles"],
        multiplicities=multiplicities,
        lmax_attributes=of_attributes,
    )
    if steerable.irreps(found.hidden) != o3.Irreps([block for block in hidden if block.mul]):
        raise ValueError(f"{case}: hidden irreps {hidden} are not scalars, vectors, ... in this order")
    return found


def _columns(edge_index: Tensor, particles: int) -> Tensor:
    """Where each official edge stands in our list by target, graph by graph."""
    source, target = edge_index
    s, t = source % particles, target % particles
    return target * (particles - 1) + s - (s > t).long()


def _network(case: Case, group: str) -> dict[str, Tensor]:
    inputs, weights = case.tensors("inputs"), case.tensors("weights")
    n = case.config["particles"]
    x, v, y = (inputs[name].view(-1, n, 3) for name in "xvy")
    charges, columns = inputs["q"].view(-1, n), _columns(inputs["edge_index"], n)
    results = {}
    for center in {name.split(".")[0] for name in case.tensors("outputs")}:
        model = (SEGNN if group == "fast" else SteerableSEGNN)(_config(case, center)).double()
        load_state(model, weights, str(case))
        found = (_fast if group == "fast" else _steerable)(model, x, v, charges, columns)
        prediction = model(x, v, charges)
        loss = (prediction - y).square().mean()
        loss.backward()
        found |= {"prediction": prediction.flatten(0, 1), "loss": loss[None], **_gradients(model)}
        results |= {f"{center}.{name}": value for name, value in found.items()}
    return results


def _fast(model: SEGNN, x: Tensor, v: Tensor, charges: Tensor, columns: Tensor) -> dict[str, Tensor]:
    edges, y = model.attributes(x, v, charges)
    s, V = model.inputs(x, v)
    scalar = torch.full_like(s, network.Y0)
    edge_attr = torch.cat([torch.full_like(edges.y[:1], network.Y0), edges.y])
    found = {
        "edge_attr": edge_attr.mT[columns],
        "node_attr_before_override": torch.cat([2 * scalar, y.flatten(1)]).mT,
        "h_in": torch.cat([V.flatten(0, 1), s]).mT,
        "additional": edges.additional.mT[columns],
    }
    h = model.embed(x, v, y)
    found["embedding"] = official_features(h, model.node)
    first = model.layers[0]
    for name, message in {"message1": first.first_messages, "message2": first.messages}.items():
        s, V = message(h, edges, model.graph)
        found[f"layer0_{name}"] = torch.cat([s.mT, V.permute(2, 0, 1).flatten(1)], dim=-1)[columns]
    u = first.update_input(h, s, V, model.graph)
    found["layer0_update1"] = official_features(first.update_layer_1(u, y), model.node)
    for i, layer in enumerate(model.layers):
        h = layer(h, edges, y, model.graph)
        found[f"layer{i}_out"] = official_features(h, model.node)
    return found | {"pre_pool1": official_features(model.pre_pool1(h, y), model.node)}


def _steerable(
    model: SteerableSEGNN, x: Tensor, v: Tensor, charges: Tensor, columns: Tensor
) -> dict[str, Tensor]:
    graph, found = model.attributes(x, v, charges), {}
    before = graph.of_nodes.clone()
    before[:, 0] = 2 * network.Y0
    names = {"message_layer_1": "message1", "message_layer_2": "message2", "update_layer_1": "update1"}
    modules = {f"layers.0.{module}": f"layer0_{name}" for module, name in names.items()}
    modules |= {f"layers.{i}": f"layer{i}_out" for i in range(model.config.layers)}
    modules |= {"embedding_layer": "embedding", "pre_pool1": "pre_pool1"}
    hooks = [
        model.get_submodule(module).register_forward_hook(
            lambda _, __, out, name=name: found.update({name: out})
        )
        for module, name in modules.items()
    ]
    model(x, v, charges)
    for hook in hooks:
        hook.remove()
    return {name: value[columns] if "message" in name else value for name, value in found.items()} | {
        "edge_attr": graph.of_edges[columns],
        "node_attr_before_override": before,
        "h_in": model.inputs(x, v),
        "additional": graph.additional[columns],
    }


def _gradients(module: nn.Module) -> dict[str, Tensor]:
    """By official parameter names."""
    found = {f"grad.{name}": p.grad for name, p in module.named_parameters()}
    for name, product in module.named_modules():
        if isinstance(product, Product) and product.to_vectors.grad is not None:
            to_scalars = None if product.bias is None else product.to_scalars.grad
            found[f"grad.{name}.tp.weight"] = flat_weight(product, to_scalars, product.to_vectors.grad)
            if product.bias is not None:
                found[f"grad.{name}.biases"] = product.bias.grad
    return found


# ---- relaxed layers


class FastLayer(nn.Module):
    """One layer on given attributes. Those of degree 0 differ from edge to edge, so each edge is computed apart."""

    def __init__(self, case: Case):
        super().__init__()
        inputs, self.node, n = case.tensors("inputs"), Irreps(*_config(case).hidden), case.config["particles"]
        self.columns = _columns(inputs["edge_index"], n)
        of_edges = torch.empty_like(inputs["edge_attr"])
        of_edges[self.columns] = inputs["edge_attr"]
        additional = torch.empty_like(inputs["additional"])
        additional[self.columns] = inputs["additional"]
        self.y0, self.edges = of_edges[:, 0].tolist(), Edges(of_edges[:, 1:].mT.contiguous(), additional.mT)
        self.y = inputs["node_attr"][:, 1:].mT.reshape(3, -1, n)
        self.h = features(inputs["x"], self.node).movedim(0, -1).unflatten(-1, (-1, n))
        self.graph = CompleteGraph(n).double()
        self.layer = MessageLayer(self.node)

    def places(self):
        return network.update_places("layer", self.node)

    def forward(self) -> Tensor:
        layer, messages = self.layer, []
        for edge, y0 in enumerate(self.y0):
            layer.message_layer_1.y0 = layer.message_layer_2.y0 = y0
            messages.append([m[..., edge] for m in layer.messages(self.h, self.edges, self.graph)])
        s, V = (torch.stack(m, dim=-1) for m in zip(*messages, strict=True))
        self.u = layer.update_input(self.h, s, V, self.graph)
        self.u1 = layer.update_layer_1(self.u, self.y)
        return self.official(self.h + layer.update_layer_2(self.u1, self.y))

    def official(self, z: Tensor) -> Tensor:
        return official_features(z, self.node)

    def rows(self, dim: int) -> Tensor:
        """For every entry of an official flat feature, its position in ours."""
        order = features(torch.arange(dim), self.node).flatten()
        return order.argsort()


class OfficialLayer(nn.Module):
    """One layer on given attributes, in e3nn's order."""

    def __init__(self, case: Case):
        super().__init__()
        inputs, self.hidden = case.tensors("inputs"), _hidden(case)
        source, target = inputs["edge_index"]
        edge_attr, node_attr, additional = (inputs[name] for name in ("edge_attr", "node_attr", "additional"))
        self.graph = EdgeList(target, source, edge_attr, node_attr, additional)
        self.h = inputs["x"]
        self.layer = SteerableLayer(self.hidden, steerable.irreps([1] * (_config(case).attribute_lmax + 1)))

    def places(self):
        return steerable.update_places("layer", self.hidden)

    def forward(self) -> Tensor:
        self.u = self.layer.update_input(self.h, self.graph)
        self.u1 = self.layer.update_layer_1(self.u, self.graph.of_nodes)
        return self.h + self.layer.update_layer_2(self.u1, self.graph.of_nodes)

    def official(self, z: Tensor) -> Tensor:
        return z

    def rows(self, dim: int) -> Tensor:
        return torch.arange(dim)


def _relaxed(case: Case, group: str, method) -> tuple[nn.Module, list[Mapping[str, Tensor]]]:
    """The layer relaxed by the method, and the official terms of its two places in the order of our features."""
    module = (FastLayer if group == "fast" else OfficialLayer)(case).double()
    terms = load_state(module.layer, case.tensors("weights"), str(case))
    return relax(module, method, module.places(), check=False), [terms[f"update_layer_{k}"] for k in (1, 2)]


def _official_matrix(module: nn.Module, W: Tensor) -> Tensor:
    return W[module.rows(len(W))][:, module.rows(W.shape[1])]


def _es(case: Case, group: str) -> dict[str, Tensor]:
    settings, target, results = case.config, case.tensors("inputs")["target"], {}
    for tag in ("correct", "upstream"):
        method = ES(epochs=1, reg=1.0, bias=False, lie_derivative=tag)  # weighed below
        net, terms = _relaxed(case, group, method)
        for of_place, term in zip(method.all_terms, terms, strict=True):
            of_place.W.data.copy_(term["weight"])
        method.alpha = settings["alpha"]
        module = net.backbone
        net.train()
        output = net()
        task_loss = (output - target).square().mean()
        if tag == "correct":
            results |= {
                "output_alpha": output,
                "task_loss": task_loss[None],
                "output_projected": net.eval()(),
            }
            net.train()
            net()
        pieces = zip((module.u, module.u1), method.all_terms, method.sums(), strict=True)
        for k, (z, of_place, (LD2, N2)) in enumerate(pieces):
            W = _official_matrix(module, of_place.W)
            name, official = f"linear_pass{k + 1}", module.official(z)
            results |= {f"{name}.LD2_{tag}": LD2[None], f"{name}.N2": N2[None], f"{name}.input": official}
            results[f"{name}.term"] = settings["alpha"] * official @ W.mT
        total = task_loss + settings["reg"] * net.extra_loss()
        net.zero_grad()
        total.backward()
        results[f"total_loss_{tag}"] = total[None]
        for k, of_place in enumerate(method.all_terms):
            key = f"grad_{tag}.linear_pass{k + 1}.lin.weight"
            results[key] = _official_matrix(module, of_place.W.grad)
        results[f"grad_{tag}.update_layer_1.tp.weight"] = _of_update(module, 1)
    return results


def _of_update(module: nn.Module, k: int) -> Tensor:
    """The gradient of an update's official weight."""
    layer = module.layer.get_submodule(f"update_layer_{k}").equivariant
    if isinstance(layer, Product):
        return flat_weight(layer, layer.to_scalars.grad, layer.to_vectors.grad)
    return layer.tp.weight.grad


def _ace(case: Case, group: str) -> dict[str, Tensor]:
    settings, target = case.config, case.tensors("inputs")["target"]
    method = ACE(dual_lr=settings["dual"]["lr"], g=published_mlp)
    net, terms = _relaxed(case, group, method)
    for k, (of_place, term) in enumerate(zip(method.all_terms, terms, strict=True)):
        method.gamma.data[k] = term["gamma"]
        of_place.g.load_state_dict({name: value for name, value in term.items() if name != "gamma"})
    module = net.backbone
    net.train()
    output = net()
    loss = (output - target).square().mean()
    results = {"output_kept": output, "task_loss": loss[None]}
    for k, z in enumerate((module.u, module.u1)):
        place = method.places[k]
        term = method.all_terms[k].g(place.flatten(z)).flatten(0, -2)
        results[f"term{k + 1}_without_gamma"] = term[:, module.rows(place.dim_out)]
    method.multipliers.copy_(torch.tensor(settings["lambda_for_gradients"], dtype=torch.float64))
    lagrangian = loss + net.extra_loss()
    lagrangian.backward()
    results["lagrangian"] = lagrangian[None]
    results |= {f"grad.gammas.{k}": method.gamma.grad[k][None] for k in range(2)}
    first = method.all_terms[0].g[0].weight.grad
    results["grad.lin_noneq1.0.weight"] = first[:, module.rows(first.shape[1])]
    results["grad.update_layer_2.tp.weight"] = _of_update(module, 2)
    with net.reading("projected"):
        results["output_projected"] = net()
    results["update1_gated"] = module.official(module.u1)
    return results | _primal_dual_steps(net, settings, target)


def _primal_dual_steps(net: nn.Module, settings: Mapping, target: Tensor) -> dict[str, Tensor]:
    """Three, from the stored weights and multipliers of 0."""
    method, seen = net.method, {"task_loss_before": [], "gamma_after": [], "lambda_after": []}
    method.multipliers.zero_()
    primal = torch.optim.Adam(net.parameters(), lr=settings["primal"]["lr"])
    for _ in range(3):
        primal.zero_grad()
        loss = (net() - target).square().mean()
        (loss + net.extra_loss()).backward()
        net.after_backward()
        primal.step()
        net.after_step()
        seen["task_loss_before"].append(loss.detach())
        seen["gamma_after"].append(method.gamma.detach().clone())
        seen["lambda_after"].append(method.multipliers.clone())
    return {f"steps.{name}": torch.stack(values) for name, values in seen.items()}
