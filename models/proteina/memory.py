"""Memory that training takes, counted without computing anything: `python -m models.proteina.memory --size 400M-tri`.

The network runs on meta tensors, and the sizes of those that it keeps for the backward pass are summed. Parts that
are recomputed (ProteinaConfig.recompute) need additional memory, one part at a time.
"""

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from models.proteina.network import Proteina
from models.proteina.settings import PUBLISHED, ProteinaConfig

COPIES = 5  # per parameter in float32: itself, its gradient, two moments of Adam, its average
MODES = ("nothing", "pairs", "everything")


def remembered(network: Proteina, chains: int, residues: int) -> int:
    """Bytes that one forward pass with self-conditioning keeps for the backward pass, without the weights.

    network: on any device; on "meta" nothing is computed.
    """
    device, dtype = network.registers.device, network.registers.dtype
    of_weights = {p.untyped_storage()._cdata for p in network.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # kept alive, so that no address is reused

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in of_weights:
            kept[storage._cdata] = storage
        return tensor

    x = torch.zeros(chains, residues, 3, device=device, dtype=dtype)
    mask = torch.ones(chains, residues, dtype=torch.bool, device=device)
    t = torch.zeros(chains, device=device, dtype=dtype)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = network(x, t, mask, mask.long(), ~mask, x)
    found = sum(storage.nbytes() for storage in kept.values())
    del outputs  # kept alive until the sum, as in training
    return found


def coefficients(config: ProteinaConfig) -> tuple[float, float]:
    """Bytes a per pair and b per token, in float32: B chains with T tokens, registers included, keep B (a T^2 + b T).

    From the counts at two lengths, without the part that does not grow with the chains.
    """
    with torch.device("meta"):
        network = Proteina(config)
    lengths = [config.registers + n for n in (64, 128, 192)]
    # The difference of two chains and one removes the part that does not grow with the chains.
    counts = [
        remembered(network, 2, T - config.registers) - remembered(network, 1, T - config.registers)
        for T in lengths
    ]
    rows = torch.tensor([[T * T, T, 1.0] for T in lengths], dtype=torch.float64)
    a, b, rest = torch.linalg.solve(rows, torch.tensor(counts, dtype=torch.float64)).tolist()
    return a, b + rest / lengths[-1]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.proteina.memory", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--size", choices=PUBLISHED, default="400M-tri")
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--residues", type=int, default=255)
    given = parser.parse_args(arguments)
    for mode in MODES:
        config = ProteinaConfig(**PUBLISHED[given.size], recompute=mode)
        with torch.device("meta"):
            network = Proteina(config)
        weights = COPIES * 4 * sum(p.numel() for p in network.parameters())
        kept = remembered(network, given.chains, given.residues)
        a, b = coefficients(config)
        print(
            f"{given.size}, {given.chains} x {given.residues} residues, float32, recompute {mode}: weights with "
            f"gradients, Adam and average {weights / 2**30:.2f} GiB, kept for the backward pass {kept / 2**30:.2f} GiB "
            f"(per chain {a / 1024:.1f} KiB a pair and {b / 1024:.0f} KiB a token)"
        )


if __name__ == "__main__":
    main()
