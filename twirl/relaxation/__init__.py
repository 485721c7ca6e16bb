"""Relaxed equivariance for any network: RECM and its rivals ES, RPP and ACE (paper B).

A backbone declares its equivariant layers as places; `relax` copies the backbone and replaces every place by a relaxed
layer f(z) = beta f_eq(z) + sum_i alpha_i f_un,i(z). An example with a network of vector neurons whose targets are
vectors, and the alphas that RECM learns:

>>> import torch, twirl
>>> from twirl.relaxation import RECM, Place, Targets, relax
>>> class Channels(torch.nn.Linear):  # an equivariant layer: mixes vector channels, (..., channels, 3)
...     def forward(self, v): return torch.nn.functional.linear(v.mT, self.weight).mT
>>> net = torch.nn.Sequential(Channels(2, 8, bias=False), Channels(8, 1, bias=False))
>>> v = twirl.Vectors()
>>> places = [Place("0", v, v, (2, 3), (8, 3)), Place("1", v, v, (8, 3), (1, 3))]
>>> net = relax(net, RECM(a=1.0, targets=Targets(v, (1, 3))), places)
>>> adam = torch.optim.Adam(net.parameter_groups(lr=1e-2))
>>> for step in range(20):
...     x = torch.randn(16, 5, 2, 3); y = x.sum(-2, keepdim=True) + torch.tensor([0, 0, 1.0])  # gravity
...     net.observe(y); loss = (net(x) - y).square().mean() + net.extra_loss()
...     adam.zero_grad(); loss.backward(); net.after_backward(); adam.step(); net.after_step()
>>> {place: sorted(alpha) for place, alpha in net.alphas().items()}  # alpha is {"W": 0.21, "b": 1.07}, say
{'0': ['W', 'b'], '1': ['W', 'b']}
"""

from importlib import import_module

# Imported on first use, so that light modules of this package can be imported without torch.
_HOME = {
    "ace": "ACE",
    "es": "ES",
    "method": "Method",
    "places": "Place",
    "pruning": "prune",
    "recm": "RECM",
    "relaxed": "Relaxed relax",
    "rpp": "RPP",
    "targets": "Labels Targets",
    "update": "constraint_set",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'twirl.relaxation' has no attribute {name!r}")
    return getattr(import_module(f"twirl.relaxation.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
