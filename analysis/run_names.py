"""The runs that figures and tables name, in the papers' order. Names only: the Snakefile imports this."""

from __future__ import annotations

ESCAIP = "escaip-default"
ESCAIP_TRAIN_SIZES = ("escaip-train-50k", "escaip-train-5k", "escaip-train-500")
ESCAIP_MODEL_SIZES = ("escaip-param-4M", "escaip-param-1M")
ESCAIP_OPTIMISERS = ("escaip-lr-1e-4", "escaip-lr-1e-3", "escaip-sgd")

PROTEINA, PROTEINA_LARGE = "proteina-60m", "proteina-400m"
PROTEINA_TRAIN_SIZES = ("proteina-1pct", "proteina-0.1pct")

VOXMOL_NETWORKS = ("voxmol-111m", "voxmol-28m", "voxmol-7m")
VOXMOL_FEWEST = "voxmol-1pct"
VOXMOL_TRAIN_SIZES = ("voxmol-111m", "voxmol-50pct", "voxmol-25pct", "voxmol-10pct", VOXMOL_FEWEST)
"""Both with the largest first; the largest network on the whole training set is in both."""

METHODS = {
    "plain": "plain",
    "es": "ES",
    "rpp": "RPP",
    "ace-exact": "ACE-exact",
    "ace-appr": "ACE-appr",
    "recm": "RECM",
}
"""Names of paper B's methods by what run names call them; plain relaxes nothing."""

DATA = ("rotated", "aligned")
VN_METHODS = ("plain", "es", "rpp", "recm")
"""The methods that VN-PointNet is trained with."""
SIZES = (2, 4, 8, 16)
"""|C_G|, the number of rotations in RECM's update rule (paper B, Fig. 5)."""


def vn_run(data: str, method: str, size: int = SIZES[0]) -> str:
    """Name of a VN-PointNet run."""
    return f"vn-{data}-{method}" + ("" if size == SIZES[0] else f"-cg{size}")


def vn_runs(*methods: str) -> tuple[str, ...]:
    """Names of the runs of these methods on both data sets."""
    return tuple(vn_run(data, method) for data in DATA for method in methods)
