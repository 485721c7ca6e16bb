"""What a caption says: what is drawn and how to read it, then notes on how it was measured, then from which runs."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.catalogue import Output
from analysis.reference.paper_curves import PaperCurves
from analysis.results import Results, Run
from analysis.words import count, scientific

WORDS = 80
"""A caption's text has at most so many."""


@dataclass(frozen=True)
class Caption:
    """text: what is drawn and how to read it, in at most WORDS words. notes: how it was measured, shown folded.

    The line that names tier, seeds, networks and data is no part of either: `ending` makes it.
    """

    text: str
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str, *notes: str) -> Caption:
        """With those notes that say something."""
        return cls(text, tuple(filter(None, notes)))


ZERO = "the loss of the predictor that always answers zero"
LOSSES = f"L_mean (solid), L_equiv (dashed) and {ZERO} (dotted)"
LINES = (
    "Thick lines: averaged weights, with L_equiv in closed form. Thin lines: raw weights. Circles: estimates from "
    "sampled rotations. All estimates are unbiased, and the percent is a ratio of means. Logarithmic axes do not show "
    "step 0."
)
SEEDS = "Thick lines: median over seeds. Thin lines: seeds."
SINGLE_LAYERS = (
    "A layer without a bar has no terms left, or they do nothing. The effects of single layers need not add up to the "
    "whole."
)


def floor_note(floor: float) -> str:
    """Of axes that end at a smallest percent."""
    return (
        f"Percents below {floor:g} are rounding errors of an equivariant network and are drawn at {floor:g}. "
        "Logarithmic axes do not show step 0."
    )


def provenance_line(results: Results) -> str:
    """Tier, seeds, network size, data and labels, in sentences."""
    return " ".join([f"Tier {results.tier}; {_seeds(results)}; {_sizes(results)}.", *data_sentences(results)])


SOURCES = {
    "generate": "molecules of RDKit's NCI file, 500 K Langevin dynamics on MMFF94s",
    "geometries": "SPICE",
    "spice": "SPICE",
    "mace_off": "SPICE as in the MACE-OFF files",
}
"""What the prepared store's `source` stands for."""
FILES = {
    "des-monomers.hdf5": "DES monomers",
    "amino-acid-ligand-test.hdf5": "amino-acid-ligand pairs",
    "solvated-amino-acids.hdf5": "solvated amino acids",
    "water.hdf5": "water clusters",
}
"""What is in the raw files that are only a part of SPICE."""


SPLITS = {"train": "training", "validation": "validation", "test": "test"}
EXAMPLES = ("clouds", "trajectories", "samples", "chains")
"""What data sets call their examples: they count `<split>_<examples>`."""
GENERATED = ("generate", "parametric")
"""Sources whose examples we make up."""


def is_generated(data: dict) -> bool:
    """Whether the examples were made up by us rather than taken from a published data set."""
    return bool(data.get("generated", data.get("source") in GENERATED))


def data_sentences(results: Results) -> list[str]:
    """Where the examples and the labels come from; generated data and xTB labels are always named."""
    sentences = []
    for data in _distinct(run.data for run in results.runs):
        if "dataset" in data:
            generated = "Drawn from generated data" if is_generated(data) else "Data"
            sentences.append(f"{generated}: {data['dataset']}{_extent(data)}.")
            sentences += [f"Caveat: {data['caveat']}."] if data.get("caveat") else []
            continue
        labels = data.get("labels")
        origin = f" ({_origin(data)})" if data.get("source") else ""
        if is_generated(data):
            sentences.append(f"Drawn from generated data: {labels} labels on generated molecules{origin}.")
        elif labels and "xtb" in str(labels).lower():
            sentences.append(f"Real geometries{origin} with {labels} labels in place of the published ones.")
        elif labels:
            sentences.append(f"Data{origin} with {labels} labels.")
    return sentences or ["The runs do not say where their data come from."]


NOTED = "†"
"""Marks what a note below a table is about."""


def caveat(results: Results, motion: str) -> str:
    """What every number of a motion must say, as its runs' data say it; empty where there is nothing to say."""
    said = (run.data.get("caveat") for run in results.runs if run.data.get("motion") == motion)
    return "; ".join(dict.fromkeys(text for text in said if text))


def _extent(data: dict) -> str:
    """Which motion, how many classes, and how many examples of each split, as far as the data say."""
    parts = [str(data["motion"])] if "motion" in data else []
    parts += [f"{len(data['classes'])} classes"] if "classes" in data else []
    for of in EXAMPLES:
        counts = [(data[key], split) for split in SPLITS if (key := f"{split}_{of}") in data]
        if len(counts) > 1:
            said = [f"{number} {SPLITS[split]}" for number, split in counts]
            parts.append(f"{', '.join(said[:-1])} and {said[-1]} {of}")
    return f" ({', '.join(parts)})" if parts else ""


def _origin(data: dict) -> str:
    source = SOURCES.get(data["source"], data["source"])
    parts = [FILES[name] for name in data.get("files", []) if name in FILES]
    return f"{source}: {', '.join(parts)}" if parts else source


def footer(results: Results) -> list[str]:
    """The same in a few words, printed inside the figure so that it travels with the image."""
    words = [f"{results.tier} tier", _seeds(results), _sizes(results)]
    for data in _distinct(run.data for run in results.runs):
        if "dataset" in data:
            remark = f" ({data.get('motion', 'all')}: with a caveat)" if data.get("caveat") else ""
            words.append(f"{data['dataset']}{remark}")
            continue
        molecules = "generated molecules" if is_generated(data) else "real geometries"
        words.append(f"{data.get('labels', 'unknown')} labels on {molecules}")
    return list(dict.fromkeys(words))


def paper_note(paper: PaperCurves, about: str) -> str:
    """How the paper's curves of EScAIP are shown."""
    light = "; light: as logged" if paper.with_logged else ""
    return (
        f"Grey: the paper's curves, unbiased (lines: medians of bins of steps{light}). "
        f"{about} The paper's percent is a mean of ratios, which is larger than a ratio of means."
    )


def not_recovered(figure: str) -> str:
    """Of a figure of the papers whose curves nobody has recovered."""
    return f"The paper prints no numbers of its {figure}, and its curves were not recovered."


def ending(output: Output, results: Results, drawn: Results) -> str:
    """What every caption ends with: which runs were drawn, and which of the output's the tier leaves out.

    results: what the plan has for the output; drawn: what it shows of them.
    """
    absent = results.absent(output.runs)
    left_out = [f"Not part of this tier: {', '.join(absent)}."] if absent else []
    return " ".join([provenance_line(drawn), *left_out])


def train_size(run: Run) -> str:
    """Number of training examples."""
    settings = run.config.get("data", {}).get("init_args", {})
    size = settings.get("train_size") or run.data.get("train_conformations")
    return count(float(size)) if size else "all"


def other_batch(run: Run, default: Run) -> str:
    """`, batch 1` where the batch size is not the default run's, else nothing."""
    return "" if batch_size(run) == batch_size(default) else f", batch {batch_size(run)}"


def batch_size(run: Run) -> int | None:
    """Molecules per optimiser step."""
    return run.config.get("data", {}).get("init_args", {}).get("batch_size")


def network_size(run: Run) -> str:
    """Number of parameters."""
    return count(run.parameters) if run.parameters else run.label


def optimiser(run: Run) -> str:
    """Optimiser and learning rate."""
    settings = run.config.get("model", {}).get("init_args", {}).get("optimizer") or {}
    if "lr" not in settings:
        return run.label
    name = "SGD" if str(settings.get("name", "")).lower() == "sgd" else "AdamW"
    return f"{name} {scientific(settings['lr'])}"


def _seeds(results: Results) -> str:
    by_name = {run.name: results.of(run.name) for run in results.runs}
    most = max(by_name.values(), key=len)
    if len(most) == 1:
        return f"one seed ({most[0].seed})"
    seeds = ", ".join(str(run.seed) for run in most)
    fewer = [len(runs) for runs in by_name.values() if len(runs) < len(most)]
    if len(fewer) == len(by_name) - 1:
        return f"seeds {seeds} of {most[0].name}" + ("; one seed of the other runs" if 1 in fewer else "")
    return f"seeds {seeds}" + (f" (fewer for {len(fewer)} of the {len(by_name)} runs)" if fewer else "")


def _sizes(results: Results) -> str:
    sizes = sorted({run.parameters for run in results.runs if run.parameters})
    if not sizes:
        return "network size not recorded"
    text = count(sizes[0]) if len(sizes) == 1 else f"{count(sizes[0])} to {count(sizes[-1])}"
    return f"network of {text} parameters"


def _distinct(blocks) -> list[dict]:
    """Different answers about the data, in order of first appearance, by what they are and where they come from only.

    Of runs on parts of the same data, the answer of the one that has most of it.
    """
    about = ("dataset", "labels", "source", "generated", "motion", "caveat")
    seen: dict[tuple, dict] = {}
    for block in blocks:
        key = tuple(str(block.get(name)) for name in about)
        seen[key] = max(seen.get(key, block), block, key=_training_examples)
    return [block for block in seen.values() if block]


def _training_examples(block: dict) -> int:
    return max((block.get(f"train_{examples}", 0) for examples in EXAMPLES), default=0)
