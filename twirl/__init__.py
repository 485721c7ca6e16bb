"""Twirled predictions, equivariance error and relaxed equivariance for anyone's model.

Which percent of the loss of a model of point clouds (here untrained) is equivariance error?

>>> import torch, twirl
>>> model = torch.nn.Sequential(torch.nn.Linear(3, 32), torch.nn.SiLU(), torch.nn.Linear(32, 3))
>>> x, y = torch.randn(64, 20, 3), torch.randn(64, 20, 3)  # 64 clouds of 20 points, a target vector per point
>>> rotations = twirl.rotation_set("iid", 10, torch.Generator().manual_seed(0))
>>> split = twirl.decompose(model, x, y, rotations, twirl.Vectors(), twirl.Vectors())
>>> 0 < split.percent < 100
True

Examples in other docstrings assume `import torch, twirl` and the names of the module in which they stand.
"""

from importlib import import_module

# Imported on first use: a measurement needs neither lightning nor e3nn nor torchmetrics.
_HOME = {
    "groups": "SO2 SO3 AxisPreserving Cyclic FiniteRotations Group Octahedral Permutations TwoAxisTurns compose "
    "inverse voxel_rotations",
    "rotations": "RotationSet enumerate_group product_quadrature rotation_set super_fibonacci",
    "representations": "BatchIndex Constant Count Identity IrrepsRep Permuted Representation Scalars "
    "Tree Vectors Voxels",
    "twisting": "twirl twist",
    "decomposition": "Decomposition Estimate StandardErrors concat decompose decompose_predictions",
    "gradients": "GradientRatio gradient_ratio loss_gradients",
    "problem": "Problem",
    "metric": "EquivarianceError",
    "monitor": "EquivarianceMonitor",
    "gradient_monitor": "GradientMonitor",
    "remedies": "Canonicalised Twirled pca_frames",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'twirl' has no attribute {name!r}")
    return getattr(import_module(f"twirl.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
