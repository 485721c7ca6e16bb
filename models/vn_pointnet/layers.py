"""Vector neuron layers, on features (3, ..., C) of C vector channels (spec vn_pointnet.md section 3.1).

A rotation R acts on every channel in the same way, v -> R v, so mixing channels, scaling them by functions of inner
products, and sums of those are equivariant. Components come first and channels last; the official layout is
(B, C, 3, N). A linear map is then one matrix product without transposed copies, and an inner product runs through
three contiguous planes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EPS = 1e-6


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products channel by channel: (3, ..., C) twice -> (..., C)."""
    return (a * b).sum(0)


class InnerProducts(torch.autograd.Function):
    """<p, p>, <p, d> and <d, d> channel by channel: p, d (3, ..., C) -> three of (..., C).

    The gradients are explicit because these products limit the speed of training: autograd would form every product
    of two whole tensors, and add five of them for the gradient of p alone.
    """

    @staticmethod
    def forward(ctx, p: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(p, d)
        return tuple(_inner(a, b) for a, b in ((p, p), (p, d), (d, d)))

    @staticmethod
    @once_differentiable
    def backward(ctx, g_pp: Tensor, g_pd: Tensor, g_dd: Tensor) -> tuple[Tensor, Tensor]:
        p, d = ctx.saved_tensors
        of_d = (g_pd * p).sum_to_size(d.shape)  # all channels may share one direction
        return (2 * g_pp * p).addcmul_(g_pd, d), of_d.addcmul_(2 * g_dd, d)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    (x, y, z), (u, v, w) = a, b
    return (x * u).addcmul_(y, v).addcmul_(z, w)


def root(squared: Tensor) -> Tensor:
    """Square root of a sum of squares, with derivative 0 at 0."""
    tiny = torch.finfo(squared.dtype).tiny
    return F.threshold(squared, tiny, tiny).sqrt()


class VNLinear(nn.Linear):
    """Mixes channels: (..., C_in) -> (..., C_out), without bias, which would break equivariance.

    The channels may come in two parts: those of V (3, B, n, C), and further ones, (3, B, 1, C'), that all n points
    of a cloud share; their product is computed once per cloud.
    """

    takes_parts = True

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__(channels_in, channels_out, bias=False)

    def forward(self, V: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        if not isinstance(V, tuple):
            return super().forward(V)
        V, shared = V
        own, of_shared = self.weight.split([V.shape[-1], shared.shape[-1]], dim=1)
        mapped = F.linear(V, own)
        mapped += F.linear(shared, of_shared)
        return mapped

    def channel_matrix(self) -> Tensor:
        """The map of channels, the same for every component: (C_out, C_in)."""
        return self.weight

    def matrix(self) -> Tensor:
        """The map on flat features, whose entry 3 c + i is component i of channel c: (3 C_out, 3 C_in)."""
        C_out, C_in = self.weight.shape
        dense = self.weight.new_zeros(C_out, 3, C_in, 3)
        dense.diagonal(dim1=1, dim2=3).copy_(self.weight.unsqueeze(-1).expand(-1, -1, 3))
        return dense.view(3 * C_out, 3 * C_in)


def plain(layer: nn.Module) -> VNLinear | None:
    """`layer` if it is a plain VNLinear; for a relaxed layer in its place, the plain one that it `acts_as`.

    A relaxed layer may have an attribute `acts_as`: the VNLinear that it currently equals, or None. Optimised
    formulations, which use the weights directly, apply to plain layers only.
    """
    layer = getattr(layer, "acts_as", layer)
    return layer if type(layer) is VNLinear else None


class VNBatchNorm(nn.Module):
    """Batch normalisation of the lengths of vectors, per channel over all rows; directions do not change.

    V -> V m / n with n = |V| + EPS and m = BatchNorm(n). Where m is negative, the vector changes sign.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)

    def scale(self, squared_length: Tensor) -> Tensor:
        """m / n of vectors with |V|^2 given, (..., C)."""
        n = root(squared_length) + EPS
        # As an image of one column with channels last, for which PyTorch's kernels need no transposed copy.
        image = n.reshape(1, -1, 1, n.shape[-1]).permute(0, 3, 1, 2)
        m = self.bn(image).permute(0, 2, 3, 1).reshape(n.shape)
        return m / n

    def forward(self, V: Tensor) -> Tensor:
        return V * self.scale(inner(V, V))


def rectifier(along: Tensor, squared_direction: Tensor, slope: float) -> Tensor:
    """The multiple of the direction d that removes (1 - slope) of V's component against d when added to V: (..., C).

    along: <V, d>. squared_direction: |d|^2.
    """
    against = F.relu(-along)
    return (against if slope == 0 else (1 - slope) * against) / (squared_direction + EPS)


class VNLeakyReLU(nn.Module):
    """V - (1 - slope) min(<V, d>, 0) / (|d|^2 + EPS) d with directions d = W V, one per channel or one for all."""

    def __init__(self, channels: int, share_direction: bool = False, slope: float = 0.2):
        super().__init__()
        self.slope = slope
        self.direction = VNLinear(channels, 1 if share_direction else channels)

    def forward(self, V: Tensor) -> Tensor:
        d = self.direction(V)
        return V + rectifier(inner(V, d), inner(d, d), self.slope) * d


class VNLinearLeakyReLU(nn.Module):
    """Linear map, batch norm of lengths, then VNLeakyReLU along a direction that a second map computes from the input.

    The batch norm and the leaky ReLU both scale whole vectors, so the layer's output is a p + b d, where p and d are
    the two mapped vectors and a, b are functions of |p|^2, <p, d> and |d|^2.
    """

    def __init__(
        self, channels_in: int, channels_out: int, share_direction: bool = False, slope: float = 0.0
    ):
        super().__init__()
        self.slope = slope
        self.feature = VNLinear(channels_in, channels_out)
        self.direction = VNLinear(channels_in, 1 if share_direction else channels_out)
        self.norm = VNBatchNorm(channels_out)

    def weights(self) -> tuple[Tensor, Tensor] | None:
        """The weights of the two maps, if both are plain."""
        feature, direction = plain(self.feature), plain(self.direction)
        return None if feature is None or direction is None else (feature.weight, direction.weight)

    def maps(self, V: Tensor, pooled: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """p and d. pooled: (3, B, C'), further channels, which all n points of V (3, B, n, C) share."""
        return _mapped(self.feature, V, pooled), _mapped(self.direction, V, pooled)

    def factors(self, pp: Tensor, pd: Tensor, dd: Tensor) -> tuple[Tensor, Tensor]:
        """a and b of the output a p + b d, from |p|^2, <p, d>, |d|^2."""
        a = self.norm.scale(pp)
        return a, rectifier(a * pd, dd, self.slope)

    def forward(self, V: Tensor, pooled: Tensor | None = None) -> Tensor:
        p, d = self.maps(V, pooled)
        a, b = self.factors(*InnerProducts.apply(p, d))
        return torch.addcmul(a * p, b, d)


def _mapped(linear: nn.Module, V: Tensor, pooled: Tensor | None) -> Tensor:
    """A VNLinear, or the relaxed layer in its place, on the channels of V (3, B, n, C) and of pooled (3, B, C')."""
    if pooled is not None:
        linear = plain(linear) or linear
        V = V, pooled.unsqueeze(2)
        if not getattr(linear, "takes_parts", False):
            V = torch.cat([V[0], V[1].expand(*V[0].shape[:-1], -1)], dim=-1)
    return linear(V).contiguous()


class VNMaxPool(nn.Module):
    """Selects per channel the vector that reaches farthest along its direction: (3, ..., n, C) -> (3, ..., C).

    The weights of the directions only select, so they get no gradient.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.direction = VNLinear(channels, channels)

    def forward(self, V: Tensor) -> Tensor:
        with torch.no_grad():
            farthest = inner(V, self.direction(V)).argmax(-2, keepdim=True)
        return V.gather(-2, farthest.expand(3, *farthest.shape)).squeeze(-2)


class VNMeanPool(nn.Module):
    """Mean over n: (3, ..., n, C) -> (3, ..., C)."""

    def forward(self, V: Tensor) -> Tensor:
        return V.mean(-2)


class VNStdFeature(nn.Module):
    """Invariant features: the coordinates of every vector in a frame of three vectors computed from the features.

    orthonormal: two learned vectors are orthonormalised and their cross product is the third; otherwise all
    three are learned and not orthonormalised.
    """

    def __init__(self, channels: int, slope: float = 0.0, orthonormal: bool = False):
        super().__init__()
        self.orthonormal = orthonormal
        self.vn1 = VNLinearLeakyReLU(channels, channels // 2, slope=slope)
        self.vn2 = VNLinearLeakyReLU(channels // 2, channels // 4, slope=slope)
        self.vn_lin = VNLinear(channels // 4, 2 if orthonormal else 3)

    def frame(self, V: Tensor, pooled: Tensor | None = None) -> Tensor:
        """z0: (3, ..., 3), [i, ..., k] is component i of frame vector k."""
        z = self.vn_lin(self.vn2(self.vn1(V, pooled)))
        if not self.orthonormal:
            return z
        u, v = z.unbind(-1)
        u = u / (u.norm(dim=0) + EPS)
        v = v - (v * u).sum(0) * u
        v = v / (v.norm(dim=0) + EPS)
        return torch.stack([u, v, torch.linalg.cross(u, v, dim=0)], dim=-1)

    def forward(self, V: Tensor) -> tuple[Tensor, Tensor]:
        """x_std: (3, ..., C), [k, ..., c] the coordinate of channel c along frame vector k; and the frame z0."""
        z0 = self.frame(V)
        return torch.einsum("i...k,i...c->k...c", z0, V), z0
