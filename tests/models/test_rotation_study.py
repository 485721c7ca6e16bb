"""What a rotation study keeps is enough for every estimate, and is written whole."""

import numpy as np
import pytest
import torch

from models.training.rotation_study import _rows, gram_sums
from models.training.settings import RotationStudyConfig
from tests.models.proteina.chains import chains
from tests.models.proteina.test_network import task
from twirl.decomposition import concat
from twirl.rotations import RotationSet, rotation_set


@pytest.fixture(scope="module")
def problems():
    """Two batches of equal length, so that their samples weigh alike."""
    model = task()
    found = [chains(7, 5, seed=k, length=7).to(torch.float64) for k in range(2)]
    batches = [
        type(b)(b.coordinates, b.mask.bool(), b.residue_index.long(), b.chain_breaks.bool(), b.chains.long())
        for b in found
    ]
    return [model.twirl_problems(batch)["raw/t=0.8"] for batch in batches]


def table(problems, kind, size, sets):
    with torch.no_grad():
        return _rows(gram_sums(problems, sets, chunk=4), kind, size)


def test_any_choice_from_the_pool_has_the_losses_of_its_decomposition(problems):
    pool = [rotation_set("iid", 1, torch.Generator().manual_seed(k)) for k in range(6)]
    rows = table(problems, "iid", 1, pool)
    G = np.zeros((6, 6))
    G[rows["first"], rows["second"]] = G[rows["second"], rows["first"]] = rows["product"]
    chosen = [0, 2, 2, 5]
    shares = np.bincount(chosen, minlength=6) / 4
    elements = torch.cat([pool[k].elements for k in chosen])
    some = RotationSet(elements, torch.full((4,), 0.25, dtype=torch.float64), "iid")
    with torch.no_grad():
        expected = concat([problem.decompose(some) for problem in problems]).naive
    assert shares @ np.diag(G) == pytest.approx(expected.L_total)
    assert shares @ G @ shares == pytest.approx(expected.L_mean)
    assert rows["total"].dropna().to_numpy() == pytest.approx(np.diag(G))


@pytest.mark.parametrize(("kind", "size"), [("super_fibonacci", 5), ("product_quadrature", 4)])
def test_a_deterministic_set_has_the_losses_of_its_decomposition(problems, kind, size):
    sets = [rotation_set(kind, size, torch.Generator().manual_seed(k)) for k in range(3)]
    rows = table(problems, kind, size, sets)
    own = rows[rows["first"] == rows["second"]]
    assert len(rows) == 6
    with torch.no_grad():
        found = [concat([problem.decompose(each) for problem in problems]).naive for each in sets]
    assert own["product"].to_numpy() == pytest.approx([each.L_mean for each in found])
    assert own["total"].to_numpy() == pytest.approx([each.L_total for each in found])


def test_settings_that_allow_no_spread_are_refused():
    with pytest.raises(ValueError, match="greater than or equal to 3"):
        RotationStudyConfig(pool=2)
