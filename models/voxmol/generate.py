"""Generates molecules: `python -m models.voxmol.generate --run FOLDER` or `--checkpoint FILE --size 28M`.

Walk-jump sampling with the averaged weights, peaks of the densities, refinement, bonds. Writes molecules.sdf (needs
RDKit), atoms.xyz with the atoms of every density, valid or not, and report.json to --out, by default FOLDER/samples.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from data.files import replacing
from data.geom_drugs.channels import SYMBOLS
from models.training.sampling import stream_seed
from models.training.trained import UntrainedError, module_of_run, write_or_say_why
from models.voxmol.atoms import MOST_ATOMS, Atoms, find_peaks, refine
from models.voxmol.official import load_checkpoint
from models.voxmol.sampling import Walk, walk_jump
from models.voxmol.settings import PUBLISHED, VoxMolConfig, VoxMolTaskSettings
from models.voxmol.task import VoxMolTask


def task_of_checkpoint(path: Path, size: str) -> tuple[VoxMolTask, dict]:
    """A task whose raw and averaged weights are both those of an official checkpoint of a published size."""
    task = VoxMolTask(VoxMolTaskSettings(network=VoxMolConfig(**PUBLISHED[size])))
    for network in task.networks.values():
        load_checkpoint(network, path)
    return task, {"checkpoint": str(path), "size": size}


def generate(
    task: VoxMolTask, chains: int, steps: int, every: int, repeats: int, seed: int, refined: bool = True
) -> Iterator[Atoms]:
    """The atoms, if any, of every density to which the chains jump. repeats: the number of times that chains start."""
    network, grid = task.ema.module.eval(), task.grid
    shape = (chains, network.config.elements, *(grid.size,) * 3)
    for repeat in range(repeats):
        generator = torch.Generator(task.device).manual_seed(stream_seed(seed, "test", repeat))
        for densities in walk_jump(network, shape, Walk(task.sigma), steps, every, generator):
            for density in densities:
                atoms = find_peaks(density, grid)
                wanted = refined and 0 < len(atoms) < MOST_ATOMS
                yield refine(atoms, density, grid) if wanted else atoms


def xyz(atoms: Atoms, comment: str) -> str:
    """One record of an XYZ file, in Angstrom."""
    lines = [f"{len(atoms)}", comment]
    for channel, place in zip(atoms.channels.tolist(), atoms.coordinates.tolist(), strict=True):
        lines.append(f"{SYMBOLS[channel]:2} " + " ".join(f"{x:9.4f}" for x in place))
    return "\n".join(lines) + "\n"


def write_samples(given: argparse.Namespace) -> Path:
    """Writes the files that the command line asks for, the report last. Returns the report's path."""
    if given.out is None and given.run is None:
        raise UntrainedError("--checkpoint: say with --out where to write")
    if min(given.chains, given.repeats, given.every) < 1 or given.steps < given.every:
        raise UntrainedError("--chains, --repeats and --every must be at least 1, --steps at least --every")
    try:
        from models.voxmol.molecules import Collection, write_sdf
    except ImportError as error:
        raise UntrainedError(f"molecules need RDKit ({error}); install it, as envs/cpu.txt does") from error
    if given.run:
        task, source = module_of_run(given.run, VoxMolTask)
    else:
        task, source = task_of_checkpoint(given.checkpoint, given.size)
    sampler = {name: getattr(given, name) for name in ("chains", "steps", "every", "repeats", "seed")}
    found, records = Collection(), []
    for number, atoms in enumerate(generate(task.to(given.device), **sampler, refined=not given.peaks_only)):
        atoms = Atoms(atoms.coordinates.cpu(), atoms.channels.cpu())
        records.append(xyz(atoms, f"generated, density {number}"))
        found.add(atoms)
    out = given.out or given.run / "samples"
    with replacing(out / "atoms.xyz") as temporary:
        temporary.write_text("".join(records))
    write_sdf(out / "molecules.sdf", found.molecules, found.smiles)
    report = {"source": source, "sampler": sampler | {"refined": not given.peaks_only}} | found.report()
    with replacing(out / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
    return out / "report.json"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.voxmol.generate", description=__doc__.splitlines()[0]
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, help="folder of a trained run")
    source.add_argument("--checkpoint", type=Path, help="an official checkpoint.pth.tar")
    parser.add_argument("--size", choices=PUBLISHED, default="111M", help="of the official checkpoint (111M)")
    parser.add_argument("--chains", type=int, default=50, help="at once (50)")
    parser.add_argument("--steps", type=int, default=1000, help="of every chain (1000)")
    parser.add_argument("--every", type=int, default=500, help="steps between two looks at a density (500)")
    parser.add_argument("--repeats", type=int, default=10, help="with fresh chains (10)")
    parser.add_argument("--peaks-only", action="store_true", help="leave atoms at the peaks, unrefined")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, help="folder to write to (RUN/samples)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    return write_or_say_why(build_parser(), write_samples, arguments)


if __name__ == "__main__":
    sys.exit(main())
