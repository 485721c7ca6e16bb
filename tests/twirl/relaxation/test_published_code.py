"""ES and ACE against what their official code gave, as far as that needs no backbone (shared/parity, if present)."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.parity.case import PARITY_DIR
from tests.twirl.relaxation.toy import F8
from twirl.relaxation.ace import adam_ascent
from twirl.relaxation.blocks import rotation_generators
from twirl.relaxation.es import lie_norm, scrambled
from twirl.representations import IrrepsRep, Vectors

needs = pytest.mark.skipif(
    not (PARITY_DIR / "segnn" / "es_layer").exists(), reason=f"no parity cases: {PARITY_DIR} is absent"
)


def tensors(case, name):
    return load_file(PARITY_DIR / case / f"{name}.safetensors")


@needs
@pytest.mark.parametrize(("k", "copies"), [(1, 2), (2, 1)])
def test_the_lie_derivative_of_a_segnn_layer(k, copies):
    weights, outputs = tensors("segnn/es_layer", "weights"), tensors("segnn/es_layer", "outputs")
    H = "4x0e + 4x1o"
    W, z = weights[f"linear_pass{k}.lin.weight"], outputs[f"linear_pass{k}.input"]
    A_in = rotation_generators(IrrepsRep(" + ".join([H] * copies)), (16 * copies,))
    A_out = rotation_generators(IrrepsRep(H), (16,))
    LD2, N2 = lie_norm(W, None, A_in, A_out, z)
    upstream, _ = lie_norm(W, None, scrambled(A_in.dense()), scrambled(A_out.dense()), z)
    for ours, theirs in [(LD2, "LD2_correct"), (upstream, "LD2_upstream"), (N2, "N2")]:
        assert ours.item() == pytest.approx(outputs[f"linear_pass{k}.{theirs}"].item(), rel=1e-12)


@needs
@pytest.mark.parametrize("layer", ["vnlinear", "vnlinearleakyrelu_dim4"])
def test_the_penalties_of_a_vector_neuron_layer(layer):
    weights, outputs = tensors("vn_pointnet/layers", "weights"), tensors("vn_pointnet/layers", "outputs")
    inputs = tensors("vn_pointnet/layers", "inputs")
    W, b = weights[f"es_{layer}.dense_lin.weight"], weights[f"es_{layer}.dense_lin.bias"]
    A_in, A_out = (scrambled(rotation_generators(Vectors(), (n // 3, 3)).dense()) for n in W.shape[::-1])
    z = inputs["x4"].flatten(1, 2).movedim(1, -1).flatten(0, 1)
    LD2, N2 = lie_norm(W, b, A_in, A_out, z)
    # The direction branch counts the feature branch's weights once more.
    times = 2 if "relu" in layer else 1
    for ours, theirs in [(LD2, "lie_upstream"), (N2, "norm_upstream")]:
        expected = outputs[f"es_{layer}.x4.eval.{theirs}"].item()
        assert times * ours.item() == pytest.approx(expected, rel=1e-12)


@needs
def test_the_multipliers_of_three_steps():
    weights, outputs = tensors("segnn/ace_layer", "weights"), tensors("segnn/ace_layer", "outputs")
    lr = json.loads((PARITY_DIR / "segnn/ace_layer/config.json").read_text())["dual"]["lr"]
    before = torch.stack([weights["gammas.0"], weights["gammas.1"]])
    multipliers, moments = torch.zeros(2, dtype=F8), torch.zeros(2, 2, dtype=F8)
    for t in range(3):
        multipliers, moments = adam_ascent(multipliers, before, moments, t + 1, lr, nonnegative=False)
        assert torch.allclose(multipliers, outputs["steps.lambda_after"][t], rtol=1e-12)
        before = outputs["steps.gamma_after"][t]
