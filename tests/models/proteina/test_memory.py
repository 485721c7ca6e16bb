"""What training remembers, counted without computing, is what it remembers when it computes."""

import pytest
import torch

from models.proteina.memory import MODES, coefficients, main, remembered
from models.proteina.network import Proteina
from models.proteina.settings import ProteinaConfig
from tests.models.proteina.chains import NETWORK, TRIANGLES


def built(device: str, **change) -> Proteina:
    with torch.device(device):
        return Proteina(ProteinaConfig(**NETWORK | TRIANGLES | change))


@pytest.mark.parametrize("mode", MODES)
def test_a_network_without_content_counts_what_a_real_one_keeps(mode):
    real, counted = (remembered(built(device, recompute=mode), 2, 20) for device in ("cpu", "meta"))
    assert counted == pytest.approx(real, rel=0.01)


def test_recomputing_keeps_less_and_less():
    counts = [remembered(built("meta", recompute=mode), 2, 40) for mode in MODES]
    assert counts[0] > 2 * counts[1] > 2 * counts[2]


def test_the_memory_of_other_lengths_and_batches_follows_from_two_numbers():
    config = ProteinaConfig(**NETWORK | TRIANGLES)
    a, b = coefficients(config)
    T = 100 + config.registers
    assert remembered(built("meta"), 3, 100) == pytest.approx(3 * (a * T**2 + b * T), rel=0.01)


def test_the_command_prints_every_mode(capsys):
    main(["--size", "60M", "--chains", "1", "--residues", "20"])
    lines = capsys.readouterr().out.splitlines()
    assert [mode in line for mode, line in zip(MODES, lines, strict=True)] == [True] * 3
    assert "1.20 GiB" in lines[0]
