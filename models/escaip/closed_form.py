"""The exact twirled prediction and equivariance error of the EScAIP force head (spec escaip.md 3.8).

The latents are invariant, so a rotation R only rotates the directions, and the twisted prediction is
F_i(R) = m_i R^T sum_j c_ij * (R dir_ij). With the component mean c_bar_ij = mean_k c_ij,k and the rest
d_ij,k = c_ij,k - c_bar_ij, the Haar average keeps c_bar alone, and the variance is that of a 3x3 matrix
T_i[k, l] = m_i sum_j d_ij,k dir_ij,l. One forward pass therefore gives the average over all rotations.
"""

import torch
from torch import Tensor

from models.escaip.network import EScAIP, ForceTerms


def twirled_forces(terms: ForceTerms) -> Tensor:
    """mu_i = m_i sum_j c_bar_ij dir_ij: (N, 3). Not valid for an isolated atom, whose direction is fixed."""
    mean = terms.coefficients.mean(-1, keepdim=True)
    return terms.magnitude * (mean * terms.direction).sum(1)


def force_variance(terms: ForceTerms) -> Tensor:
    """E_R ||F_i(R) - mu_i||^2 = ||T_i||_F^2 / 3: (N,)."""
    rest = terms.coefficients - terms.coefficients.mean(-1, keepdim=True)
    T = terms.magnitude[..., None] * (rest.mT @ terms.direction)
    return T.square().sum((1, 2)) / 3


def exact_losses(
    terms: ForceTerms, target: Tensor, graph_index: Tensor, num_graphs: int
) -> tuple[Tensor, Tensor, Tensor]:
    """L_mean and L_equiv of every molecule, per force component, and its number of components: three of (B,).

    target: (N, 3), graph_index: (N,).
    """
    sizes = 3 * torch.bincount(graph_index, minlength=num_graphs)

    def per_molecule(squares: Tensor) -> Tensor:
        return squares.new_zeros(num_graphs).index_add(0, graph_index, squares) / sizes

    error = (twirled_forces(terms) - target).square().sum(1)
    return per_molecule(error), per_molecule(force_variance(terms)), sizes


def head_variance(network: EScAIP) -> Tensor:
    """Mean over the H columns of the biased variance of W's three rows, ||W_perp||_F^2 / (3 H) (spec escaip.md 5.4)."""
    return network.force_direction.final.weight.var(dim=0, correction=0).mean()


@torch.no_grad()
def make_equivariant(network: EScAIP) -> None:
    """Replaces every row of W by the mean row (W_E): the network becomes exactly equivariant (spec escaip.md 3.6)."""
    W = network.force_direction.final.weight
    W.copy_(W.mean(0, keepdim=True).expand_as(W))
