"""`prune`: exports a relaxed network without the terms that its evaluation variant leaves out."""

from copy import deepcopy

import torch
from torch import nn

from twirl.relaxation.layer import FixedLayer
from twirl.relaxation.relaxed import Relaxed, replace


@torch.no_grad()
def prune(relaxed: Relaxed, readout: str | None = None) -> nn.Module:
    """The backbone with fixed alpha and beta, and with the terms of an evaluation variant (None: the method's default).

    Its output equals that of `relaxed` in eval mode in that variant to the bit. A place without terms and with
    beta = 1 becomes the plain layer again; any other beta is a buffer. Without any term the network has exactly the
    parameters of the plain one.

    >>> from twirl.relaxation import ES, Place, prune, relax
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4))
    >>> relaxed = relax(net, ES(epochs=10), [Place("0", twirl.Scalars(), twirl.Scalars(), 3, 4)])
    >>> prune(relaxed)[0]  # ES is projected: the plain layer is back
    Linear(in_features=3, out_features=4, bias=True)
    """
    modulations = relaxed.read(readout)
    copy = deepcopy(relaxed.backbone)
    for place, m in zip(relaxed.places, modulations, strict=True):
        layer = copy.get_submodule(place.name)
        names = [name for name in m.alpha if name != "noise"]
        plain = not names and float(m.beta) == 1.0
        replace(
            copy,
            place.name,
            layer.equivariant if plain else FixedLayer(place, layer.equivariant, layer.terms, m),
        )
    return copy
