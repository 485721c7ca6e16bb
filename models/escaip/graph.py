"""Neighbour graph of EScAIP: for every atom its nearest neighbours within a cutoff (spec escaip.md 2.4)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class NeighborGraph:
    """A dense neighbour list: N receiving atoms with M slots each, real neighbours first.

    neighbors: (N, M) sender of each slot, ascending; -1 in empty slots.
    mask: (N, M) True where a slot is used. An isolated atom uses slot 0 for a loop to itself.
    distance: (N, M) [Angstrom]; 0 in empty slots.
    direction: (N, M, 3) unit vector from the sender towards the receiver; zero in empty slots.
    isolated: (N,) True for an atom without any neighbour; its loop has direction (1, 0, 0).
    """

    neighbors: Tensor
    mask: Tensor
    distance: Tensor
    direction: Tensor
    isolated: Tensor

    @property
    def real(self) -> Tensor:
        """(N, M) True where a slot holds another atom, that is, mask without the loops."""
        return self.mask & ~self.isolated[:, None]


def build_graph(
    positions: Tensor,
    graph_index: Tensor,
    num_graphs: int,
    cutoff: float,
    max_neighbors: int,
    box: float | None = None,
) -> NeighborGraph:
    """The `max_neighbors` nearest atoms of the same graph within `cutoff`; ties go to the lower sender.

    positions: (N, 3) [Angstrom], graph_index: (N,) ascending. `box` makes every graph periodic in a cube of
    that edge, as the official code does with 30 Angstrom; by minimum image, so it must be at least twice the cutoff.
    """
    if box is not None and box < 2 * cutoff:
        raise ValueError(
            f"a periodic box of {box} Angstrom is less than twice the cutoff of {cutoff} Angstrom"
        )
    device, M = positions.device, max_neighbors
    counts = torch.bincount(graph_index, minlength=num_graphs)
    first = counts.cumsum(0) - counts
    row = torch.arange(len(positions), device=device) - first[graph_index]
    size = int(counts.max())

    # One padded (size, 3) block per graph, so that all pairs of a batch are one subtraction.
    padded = positions.new_zeros(num_graphs, size, 3)
    padded[graph_index, row] = positions
    real = torch.arange(size, device=device) < counts[:, None]
    vector = padded[:, None, :, :] - padded[:, :, None, :]  # (graph, receiver, sender, 3)
    if box is not None:
        vector = vector - box * torch.round(vector / box)
    squared = (vector * vector).sum(-1)
    near = (squared <= cutoff**2) & (squared > 1e-4) & real[:, None, :]
    vector, squared, near = (t[graph_index, row] for t in (vector, squared, near))  # (N, size, ...)

    kept = min(M, size)
    order = squared.masked_fill(~near, torch.inf).sort(dim=1, stable=True).indices[:, :kept]
    sender = torch.where(near.gather(1, order), order, size).sort(dim=1).values  # empty slots sort last
    mask = sender < size
    column = sender.clamp(max=size - 1)
    distance = squared.gather(1, column).sqrt() * mask
    vector = vector.gather(1, column[..., None].expand(-1, -1, 3)) * mask[..., None]
    direction = -vector / torch.where(mask, distance, 1.0)[..., None]
    neighbors = torch.where(mask, sender + first[graph_index][:, None], -1)

    empty = M - kept
    neighbors = torch.nn.functional.pad(neighbors, (0, empty), value=-1)
    mask = torch.nn.functional.pad(mask, (0, empty))
    distance = torch.nn.functional.pad(distance, (0, empty))
    direction = torch.nn.functional.pad(direction, (0, 0, 0, empty))

    isolated = ~mask.any(dim=1)
    own = torch.arange(len(positions), device=device)
    neighbors[:, 0] = torch.where(isolated, own, neighbors[:, 0])
    mask[:, 0] |= isolated
    direction[:, 0, 0] += isolated.to(direction.dtype)
    return NeighborGraph(neighbors, mask, distance, direction, isolated)
