"""Loading official SEGNN weights, and the unconstrained terms of those relaxed by ES and ACE (spec segnn.md section 6).

Official features list all scalars of a block, then its vectors, channel by channel; ours do so only for different
numbers of them (products.Irreps). Official products have one flat weight, path after path.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from models.official import CheckpointError, load_official, read_tensors
from models.segnn.products import Irreps, Product

# Our name of a product's bias, and the official one; matrices are taken apart path by path.
RULES = ((r"(^|\.)bias$", r"\1biases"),)
# e3nn's internal entries and constants, whose presence depends on its version.
IGNORED = re.compile(r"tp\.output_mask$|gate\.mul\.(weight|output_mask)$|\._w3j_\d+_\d+_\d+$")
# The official names of the terms added to an update, and the layer to which each is added.
TERMS = {
    "linear_pass1.lin": "update_layer_1",
    "linear_pass2.lin": "update_layer_2",
    "lin_noneq1": "update_layer_1",
    "lin_noneq2": "update_layer_2",
    "gammas.0": "update_layer_1",
    "gammas.1": "update_layer_2",
}


def load_state(
    module: nn.Module, state: Mapping[str, Tensor], source: str = "official SEGNN state dict"
) -> dict[str, dict[str, Tensor]]:
    """Copies an official state dict into a SEGNN or SteerableSEGNN, or into one of its layers.

    Returns the terms of an ES- or ACE-relaxed state, by the names of the layers they are added to: "weight" of ES's
    linear map; "0.weight", "0.bias", ... of ACE's network and "gamma". They act on rows flattened as the module's
    places say. A plain state has none. Missing, extra or misshapen keys raise CheckpointError.
    """
    plain, terms = {}, {}
    for key, value in state.items():
        key = key.removeprefix("module.")
        if IGNORED.search(key):
            continue
        prefix, term, name = _split(key)
        if term is None:
            plain[key] = value
        else:
            terms.setdefault(prefix + TERMS[term], {})[name or "gamma"] = value
    products = {name: child for name, child in module.named_modules() if isinstance(child, Product)}
    if products:
        load_official(module, _paths_apart(products, plain, source), RULES, source)
        terms = {name: _in_our_order(term, products, name, source) for name, term in terms.items()}
    else:
        bookkeeping = {key: value for key, value in module.state_dict().items() if IGNORED.search(key)}
        load_official(module, plain | bookkeeping, (), source)
    return terms


def load_checkpoint(network: nn.Module, path: str | Path) -> dict[str, dict[str, Tensor]]:
    """Loads a file of an official training script, SEGNN's, ES's or ACE's; returns what load_state does.

    Raises CheckpointError for anything else.
    """
    content = read_tensors(path, "save the state dict with nothing but tensors in it")
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path}: no state dict in the file; give a checkpoint of the official training script"
        )
    return load_state(network, content.get("model", content), str(path))


def flat_weight(product: Product, to_scalars: Tensor | None, to_vectors: Tensor) -> Tensor:
    """The official flat weight of a product, or its gradient, from ours."""
    parts = [(to_scalars if scalars else to_vectors)[:, rows].mT for rows, scalars in _paths(product)]
    return torch.cat([part.flatten() for part in parts])


def features(flat: Tensor, irreps: Irreps) -> Tensor:
    """Official features (..., C dim) of C copies of the irreps -> ours, (..., *shape) with C times the first axis."""
    if not irreps.paired:
        return flat
    m = irreps.scalars
    s, V = flat.unflatten(-1, (-1, irreps.dim)).split([m, 3 * m], dim=-1)
    return torch.cat([s.unsqueeze(-1), V.unflatten(-1, (m, 3))], dim=-1).flatten(-3, -2)


def official_features(h: Tensor, irreps: Irreps) -> Tensor:
    """The inverse of `features` for node features h as the network has them: rows (N, C dim), official order."""
    if not irreps.paired:
        return h.flatten(1).mT
    blocks = h.flatten(2).split(irreps.scalars)
    return torch.cat([p for z in blocks for p in (z[:, 0].mT, z[:, 1:].permute(2, 0, 1).flatten(1))], dim=-1)


def _paths(product: Product) -> list[tuple[slice, bool]]:
    """For every official path, in order: its columns in our matrices, and whether it leads to scalars."""
    counts, paths = [0, product.sizes[0]], []
    for degree, channels in product.blocks:
        columns = slice(counts[degree], counts[degree] + channels)
        counts[degree] += channels
        # With the attribute of degree 0 a feature keeps its degree; with that of degree 1 it changes degree.
        leads = (degree == 0, degree == 1)
        paths += [(columns, scalars) for scalars in leads if not scalars or product.to_scalars is not None]
    return paths


def _paths_apart(
    products: Mapping[str, Product], state: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """The state with the two matrices of each product in place of its flat weight."""
    state = dict(state)
    for name, product in products.items():
        prefix = name + "." if name else ""
        named = {True: ("to_scalars", product.to_scalars), False: ("to_vectors", product.to_vectors)}
        matrices = {scalars: W.detach().clone() for scalars, (_, W) in named.items() if W is not None}
        paths = [matrices[scalars][:, columns].mT for columns, scalars in _paths(product)]
        needed = sum(path.numel() for path in paths)
        flat = state.pop(f"{prefix}tp.weight", None)
        if flat is None or flat.shape != (needed,):
            found = "is missing" if flat is None else f"has, of shape {tuple(flat.shape)},"
            raise CheckpointError(
                f"{source}: the checkpoint {found} '{prefix}tp.weight', which is needed of shape {(needed,)}: build "
                "the network with the checkpoint's own configuration"
            )
        for path, part in zip(paths, flat.split([path.numel() for path in paths]), strict=True):
            path.copy_(part.view(path.shape))
        state |= {prefix + named[scalars][0]: W for scalars, W in matrices.items()}
    return state


def _split(key: str) -> tuple[str, str | None, str]:
    """'layers.0.lin_noneq1.2.bias' -> ('layers.0.', 'lin_noneq1', '2.bias'); keys of the plain network have no term."""
    for term in TERMS:
        prefix, found, name = key.partition(term)
        if found and prefix[-1:] in ("", ".") and name[:1] in ("", "."):
            return prefix, term, name[1:]
    return key, None, ""


def _in_our_order(
    term: Mapping[str, Tensor], products: Mapping[str, Product], name: str, source: str
) -> dict[str, Tensor]:
    """A term's maps, the rows of the last and the columns of the first permuted to the order of our features."""
    weights = [key for key in term if key.endswith("weight")]
    if not weights or name not in products:
        what = "no weights of the added term" if name in products else "an added term where no product is"
        raise CheckpointError(f"{source}: {name}: {what}")
    first, last, irreps = min(weights), max(weights), products[name].out
    dims = len(products[name].inputs) * irreps.dim, irreps.dim
    if (term[first].shape[1], term[last].shape[0]) != dims:
        raise CheckpointError(
            f"{source}: {name}: the added term maps {term[first].shape[1]} features to {term[last].shape[0]}, where "
            f"the network has {dims[0]} and {dims[1]}: build it with the checkpoint's own configuration"
        )
    out = dict(term)
    order = features(torch.arange(dims[0]), irreps).flatten()
    out[first] = out[first][:, order]
    order = features(torch.arange(dims[1]), irreps).flatten()
    out[last] = out[last][order]
    bias = last.replace("weight", "bias")
    if bias in out:
        out[bias] = out[bias][order]
    return out
