"""A small vector-neuron network that knows nothing of relaxation, and its places."""

import torch
from torch import nn

from twirl.relaxation.places import Place
from twirl.representations import Scalars, Vectors

F8 = torch.float64
NAMES = ("first.feat", "first.dir", "last")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=F8)


class Channels(nn.Module):
    """Mixes vector channels: (..., c_in, 3) -> (..., c_out, 3)."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c_out, c_in).uniform_(-1, 1) / c_in**0.5)

    def forward(self, v):
        return nn.functional.linear(v.mT, self.weight).mT


class Dense(Channels):
    """The same, offering its dense form."""

    def matrix(self):
        return torch.kron(self.weight, torch.eye(3, dtype=self.weight.dtype))


class Leaky(nn.Module):
    """A vector-neuron nonlinearity between two maps of the same input."""

    def __init__(self, c_in, c_out, channels):
        super().__init__()
        self.feat, self.dir = channels(c_in, c_out), channels(c_in, c_out)

    def forward(self, v):
        p, d = self.feat(v), self.dir(v)
        s = (p * d).sum(-1, keepdim=True)
        return torch.where(s > 0, p, p - s / (d.square().sum(-1, keepdim=True) + 1e-6) * d)


class Toy(nn.Module):
    """Points (batch, points, 2, 3) to one vector for each cloud, (batch, 1, 3)."""

    def __init__(self, channels=Channels, width=4):
        super().__init__()
        self.first = Leaky(2, width, channels)
        self.last = channels(width, 1)

    def forward(self, v):
        return self.last(self.first(v).mean(1))


def places(width=4, share=True):
    v = Vectors()
    return [
        Place("first.feat", v, v, (2, 3), (width, 3)),
        Place("first.dir", v, v, (2, 3), (width, 3), bias=False, reads="first.feat" if share else None),
        Place("last", v, v, (width, 3), (1, 3)),
    ]


def network(channels=Channels, width=4, seed=0, dtype=F8):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Toy(channels, width).to(dtype)


def batch(step=0, n=6, aligned=True):
    """Clouds and a vector target each; along z when aligned, turning with the cloud otherwise."""
    x = randn(n, 5, 2, 3, seed=100 + step)
    y = x.mean((1, 2))[:, None]
    return x, y + torch.tensor([0, 0, 1.0], dtype=F8) if aligned else y


def train(net, optimizer, steps, start=0, data=batch, loss_of=lambda y, target: (y - target).square().mean()):
    """The training loop every method fits in; the losses."""
    losses = []
    for step in range(start, start + steps):
        x, target = data(step)
        net.observe(target)
        loss = loss_of(net(x), target) + net.extra_loss()
        optimizer.zero_grad()
        loss.backward()
        net.after_backward()
        optimizer.step()
        net.after_step()
        losses.append(loss.detach())
    return torch.stack(losses)


def scalar_places():
    return [Place("0", Scalars(), Scalars(), 3, 4)]
