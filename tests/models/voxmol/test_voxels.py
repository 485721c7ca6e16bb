"""Densities: the stated closed form, both ways to fill a grid, what is cut off; poses; peaks and their refinement."""

import dataclasses

import pytest
import torch

from models.datasets.geom_drugs import PADDING
from models.voxmol.atoms import find_peaks, refine
from models.voxmol.augment import Pose, draw_pose
from models.voxmol.settings import AugmentConfig, GridConfig
from models.voxmol.voxels import (
    _fill_blocks,
    _fill_in_rounds,
    _windows,
    outside,
    smooth_density,
    voxelise,
)
from tests.models.voxmol.densities import molecules
from twirl.groups import Octahedral
from twirl.representations import Voxels

GRIDS = [
    GridConfig(size=24),
    GridConfig(size=12, resolution=0.5, half_window=3),
    GridConfig(size=16, resolution=0.5, half_window=3, centring="exact"),
]


def brute_force(batch, grid: GridConfig, count: int):
    """Every atom at every voxel, in float64, as the module's docstring says, cut to the same windows."""
    index = torch.arange(grid.size, dtype=torch.float64)
    p = batch.coordinates.double() / grid.resolution
    delta = p[..., None] + grid.origin - index
    near = p.floor()[..., None] + grid.size / 2
    inside = (index - near).abs() <= grid.half_window
    g = torch.exp(-delta.square() / grid.width(grid.radius)) * inside
    density = torch.einsum("bnx,bny,bnz->bnxyz", *g.unbind(2))
    grids = []
    for channel in range(count):
        mine = (batch.channels == channel)[..., None, None, None]
        grids.append(1 - (1 - density * mine).prod(1))
    return torch.stack(grids, 1).float()


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{g.size}-{g.centring}")
@pytest.mark.parametrize("extent", [0.8, 3.0])
def test_densities_are_the_closed_form_inside_and_outside_the_grid(grid, extent):
    batch = molecules(3, 8, extent)
    expected = brute_force(batch, grid, 3)
    for function in (voxelise, smooth_density):
        torch.testing.assert_close(
            function(batch.coordinates, batch.channels, grid, 3), expected, rtol=0, atol=5e-6
        )
    assert 0 <= expected.min() <= expected.max() <= 1


def test_both_ways_to_fill_a_grid_agree_to_rounding():
    batch, grid = molecules(3, 9, 3.0), GRIDS[1]
    delta, first = _windows(batch.coordinates, grid)
    factors = torch.exp(-delta.square() / grid.width(grid.radius))
    first = first.where((batch.channels >= 0)[..., None], grid.size)
    blocks, rounds = (
        fill(factors, first, batch.channels, grid.size, 3) for fill in (_fill_blocks, _fill_in_rounds)
    )
    torch.testing.assert_close(blocks, rounds, rtol=0, atol=1e-7)  # densities below 1: a rounding or two


def test_one_atom_weighs_what_was_measured_and_sits_where_it_should():
    batch = molecules(1, 1, 0.0)
    for grid, index in ((GridConfig(size=64), 30.875), (GridConfig(size=64, centring="exact"), 31.5)):
        assert grid.origin == index
        density = voxelise(batch.coordinates, torch.zeros(1, 1).long(), grid, 1)[0, 0]
        centroid = (density.sum((1, 2)) * torch.arange(64)).sum() / density.sum()
        assert centroid.item() == pytest.approx(index, abs=0.005)
    upstream = voxelise(batch.coordinates, torch.zeros(1, 1).long(), GridConfig(size=64), 1)
    assert upstream.square().sum().item() == pytest.approx(12.668, abs=0.01)


def test_a_centred_grid_turns_with_its_molecule_and_upstreams_does_not():
    """Away from the windows' edges, whose cut is at whole voxels."""
    batch = molecules(1, 6)
    g = Octahedral().elements(torch.float32)[5:6]
    turned = Pose(g, torch.zeros(1, 3))(batch.coordinates, batch.channels)
    plain = Pose(torch.eye(3)[None], torch.zeros(1, 3))(batch.coordinates, batch.channels)
    errors = {}
    for centring in ("exact", "upstream"):
        grid = GridConfig(size=16, resolution=0.5, half_window=7, centring=centring)
        moved = Voxels().act(g, voxelise(plain, batch.channels, grid, 3)[None])[0]
        errors[centring] = (moved - voxelise(turned, batch.channels, grid, 3)).abs().max().item()
    assert errors["exact"] < 1e-5
    assert errors["upstream"] > 0.1


def test_atoms_outside_are_cut_off_and_counted():
    grid = GRIDS[1]
    coordinates = torch.tensor([[[0.0, 0, 0], [9.0, 0, 0], [0, -3.3, 0]]])
    channels = torch.tensor([[0, 1, PADDING]])
    density = voxelise(coordinates, channels, grid, 2)
    assert density[0, 0].max() > 0.5
    assert density[0, 1].max() == 0
    assert outside(coordinates, channels, grid).tolist() == [1]
    assert outside(coordinates, torch.tensor([[0, 1, 1]]), grid).tolist() == [2]


def test_grids_and_channels_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="multiple of 2"):
        GridConfig(size=11)
    with pytest.raises(ValueError, match="divide 15"):
        GridConfig(size=12, resolution=0.4)
    with pytest.raises(ValueError, match="channel 2, but there are only 2"):
        voxelise(torch.zeros(1, 1, 3), torch.tensor([[2]]), GRIDS[0], 2)


@pytest.mark.parametrize("rotation", ["euler_xyz", "haar", "octahedral", "none"])
def test_poses_are_rigid_centred_and_shifted_by_at_most_what_is_said(rotation):
    batch, config = molecules(2), AugmentConfig(rotation=rotation, shift=0.25)
    poses = [draw_pose(config, torch.Generator().manual_seed(k)) for k in range(2)]
    pose = Pose(*(torch.stack([getattr(p, f.name) for p in poses]) for f in dataclasses.fields(Pose)))
    posed = pose(batch.coordinates, batch.channels)
    real = batch.channels >= 0
    for before, after, keep in zip(batch.coordinates, posed, real, strict=True):
        torch.testing.assert_close(torch.pdist(before[keep]), torch.pdist(after[keep]))
        assert after[keep].mean(0).abs().max() <= 0.25
        assert (after[~keep] == 0).all()
    torch.testing.assert_close(torch.linalg.det(pose.rotation), torch.ones(2))
    again = draw_pose(config, torch.Generator().manual_seed(0))
    assert torch.equal(again.rotation, pose.rotation[0])


def test_peaks_are_the_atoms_and_refinement_brings_them_home():
    grid = GridConfig(size=24)
    sites = torch.tensor([[0.4, -0.9, 0.2], [-0.8, 0.3, -0.5], [0.5, 0.9, 0.6]])
    channels = torch.tensor([0, 1, 1])
    density = voxelise(sites[None], channels[None], grid, 2)[0]
    peaks = find_peaks(density, grid)
    assert peaks.channels.tolist() == [0, 1, 1]
    assert peaks.coordinates.mean(0).abs().max() < 1e-6
    refined = refine(peaks, density, grid)
    assert (peaks.coordinates - (sites - sites.mean(0))[[0, 1, 2]]).norm(dim=1).max() < 0.25
    assert (refined.coordinates - sites).norm(dim=1).max() < 0.05


def test_faces_and_plateaus_and_weak_voxels_are_no_peaks():
    grid, density = GRIDS[1], torch.zeros(1, 12, 12, 12)
    density[0, 0, 5, 5] = 1.0
    density[0, 5, 5, 5:7] = 1.0
    density[0, 8, 8, 8] = 0.2
    assert len(find_peaks(density, grid)) == 0
    density[0, 3, 9, 3] = 0.9
    assert len(find_peaks(density, grid)) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_density_that_is_not_of_numbers_is_refused(value):
    density = torch.zeros(1, 12, 12, 12)
    density[0, 3, 4, 5] = value
    with pytest.raises(ValueError, match="the density has values that are NaN or infinite"):
        find_peaks(density, GRIDS[1])


def test_a_search_that_fails_leaves_the_peaks():
    """An atom exactly at a voxel's centre has no gradient."""
    grid = GridConfig(size=12, resolution=0.5, half_window=3, centring="exact")
    coordinates = torch.full((1, 3), -0.25)
    density = voxelise(coordinates[None], torch.zeros(1, 1).long(), grid, 1)[0]
    peaks = dataclasses.replace(find_peaks(density, grid), coordinates=coordinates)
    assert torch.equal(refine(peaks, 0.9 * density, grid).coordinates, coordinates)
