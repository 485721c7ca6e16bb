"""Small SEGNNs in double precision, the particles they are given, and how those are turned."""

import torch

from models.segnn.network import SEGNN, SEGNNConfig
from models.segnn.official import flat_weight, load_state
from models.segnn.products import Product
from models.segnn.steerable import SteerableSEGNN
from twirl.groups import SO3

SMALL = {"hidden_features": 8, "layers": 2}


def particles(B=3, n=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x, v = torch.randn(2, B, n, 3, generator=generator, dtype=torch.float64)
    return x, v / 3, torch.randint(0, 2, (B, n), generator=generator).double() * 2 - 1


def small(kind=SEGNN, seed=0, **change):
    torch.manual_seed(seed)
    return kind(SEGNNConfig(**SMALL | change)).double()


def pair(**change):
    """Both networks with the same weights."""
    theirs = small(SteerableSEGNN, **change)
    ours = small(**change)
    load_state(ours, theirs.state_dict())
    return ours, theirs


def assert_same(ours, theirs, inputs):
    """That predictions of both networks and the gradients of all weights are the same."""
    found, expected = ours(*inputs), theirs(*inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    found.square().mean().backward()
    expected.square().mean().backward()
    for name, product in ours.named_modules():
        if isinstance(product, Product):
            twin = theirs.get_submodule(name)
            to_scalars = None if product.bias is None else product.to_scalars.grad
            gradient = flat_weight(product, to_scalars, product.to_vectors.grad)
            torch.testing.assert_close(gradient, twin.tp.weight.grad, rtol=0, atol=1e-12)
            if product.bias is not None:
                torch.testing.assert_close(product.bias.grad, twin.biases.grad, rtol=0, atol=1e-12)


def orthogonal(n, seed=2):
    """Rotations, every other one with an inversion."""
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(n)[:n]
    return signs[:, None, None] * SO3().sample(n, torch.Generator().manual_seed(seed), dtype=torch.float64)
