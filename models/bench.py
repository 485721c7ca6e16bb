"""Training throughput on this machine: `python -m models.bench escaip [--case mini] [--threads 1] [--steps 10]`.

Every case runs in a separate process, so that its peak memory can be measured. Cases come from
models/<system>/bench.py: a dict `CASES` of names to functions without arguments that return a Case. `--case` chooses
those whose name contains a word.
"""

import argparse
import importlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data.settings import merge
from models.sources import ROOT
from models.training.configuration import read_file
from models.training.process import tune_process
from twirl.relaxation import Method, relax


@dataclass(frozen=True)
class Case:
    """One thing to time.

    step: runs one training step of `samples` examples. measure: runs one measurement of the equivariance
    monitor on as many examples, or None. cadence: training steps between measurements in the paper. rival: another
    implementation of the same step, as (step, name), or None; the two alternate in one process. beside: steps
    of other networks by name, which alternate with this one, to compare their costs.
    """

    step: Callable[[], None]
    samples: int
    measure: Callable[[], None] | None = None
    cadence: int | None = None
    rival: tuple[Callable[[], None], str] | None = None
    beside: Mapping[str, Callable[[], None]] = field(default_factory=dict)


def network_of(tier: str, runs: str) -> dict[str, Any]:
    """What a tier says of the network of the runs in config/runs/<runs>.yaml."""
    declared = read_file(ROOT / "config" / "runs" / f"{runs}.yaml")
    return merge(declared["base"], declared["tiers"][tier]["base"])["model"]["init_args"]["network"]


def seconds(function: Callable[[], None]) -> float:
    """Duration of one call; waits for the GPU, if there is one.

    With one CPU thread it is the thread's CPU time: equal to wall time on an idle machine, and nearly the same on a
    busy one.
    """
    on_gpu = torch.cuda.is_available()
    clock = time.perf_counter if on_gpu or torch.get_num_threads() > 1 else time.process_time
    begun = clock()
    function()
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - begun


def relaxed_step(
    backbone: nn.Module,
    method: Method,
    seen: Tensor,
    error: Callable[[nn.Module], Tensor],
    lr: float,
    weight_decay: float = 0.0,
) -> Callable[[], None]:
    """A training step as in RelaxedTask, with `backbone` relaxed by `method`.

    seen: the targets that the method observes. error: the loss of the relaxed network. lr, weight_decay: Adam's.
    """
    network = relax(backbone, method, backbone.places(), check=False)
    optimizer = torch.optim.Adam(network.parameter_groups(lr, weight_decay=weight_decay), fused=True)

    def step() -> None:
        network.observe(seen)
        (error(network) + network.extra_loss()).backward()
        network.after_backward()
        optimizer.step()
        optimizer.zero_grad()
        network.after_step()

    return step


def in_turns(*functions: Callable[[], None], repeats: int) -> list[list[float]]:
    """Durations of each function, called alternately; two warm-up rounds are left out."""
    rounds = [[seconds(function) for function in functions] for _ in range(repeats + 2)]
    return [list(durations) for durations in zip(*rounds[2:], strict=True)]


def median_seconds(*functions: Callable[[], None], repeats: int) -> list[float]:
    """Median duration of each function, called alternately."""
    return [statistics.median(durations) for durations in in_turns(*functions, repeats=repeats)]


def cases_of(system: str) -> dict[str, Callable[[], Case]]:
    """The cases of a system, by name."""
    return importlib.import_module(f"models.{system}.bench").CASES


def run_case(system: str, name: str, threads: int, steps: int) -> dict:
    """Times one case in this process."""
    torch.set_num_threads(threads)
    tune_process()
    case = cases_of(system)[name]()
    (step_s,) = median_seconds(case.step, repeats=steps)
    result = {"case": f"{system} {name}", "step_s": step_s, "samples_per_s": case.samples / step_s}
    on_gpu = torch.cuda.is_available()
    peak = (
        torch.cuda.max_memory_allocated()
        if on_gpu
        else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    result["peak_MiB"] = peak / 2**20
    if case.measure is not None:
        measure_s, between_s = median_seconds(case.measure, case.step, repeats=max(3, steps // 2))
        result["monitor_percent"] = 100 * measure_s / (case.cadence * between_s)
    if case.rival is not None:
        rival, rival_name = case.rival
        rival_s, own_s = median_seconds(rival, case.step, repeats=max(3, steps // 2))
        result |= {"speedup": rival_s / own_s, "rival": rival_name}
    if case.beside:
        own, *others = in_turns(case.step, *case.beside.values(), repeats=max(3, steps))
        result["beside"] = {
            name: [
                statistics.median(other),
                statistics.median(own) / statistics.median(other),
                min(own) / min(other),
            ]
            for name, other in zip(case.beside, others, strict=True)
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.bench", description=__doc__.splitlines()[0])
    systems = sorted(path.parent.name for path in Path(__file__).parent.glob("*/bench.py"))
    parser.add_argument(
        "systems", nargs="+", metavar="system", choices=systems, help=f"any of: {', '.join(systems)}"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default 1)")
    parser.add_argument("--steps", type=int, default=10, help="timed steps per case (default 10)")
    parser.add_argument("--case", default="", metavar="WORD", help="only cases whose name contains this")
    parser.add_argument("--here", help=argparse.SUPPRESS)  # one case, in this process
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(run_case(arguments.systems[0], arguments.here, arguments.threads, arguments.steps)))
        return
    for system in arguments.systems:
        cases = cases_of(system)
        chosen = [name for name in cases if arguments.case in name]
        if not chosen:
            parser.error(f"{system} has no case with {arguments.case!r} in its name: {', '.join(cases)}")
        for name in chosen:
            options = ["--threads", str(arguments.threads), "--steps", str(arguments.steps), "--here", name]
            command = [sys.executable, "-m", "models.bench", system, *options]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            print(_line(json.loads(output.splitlines()[-1])), flush=True)


def _line(result: dict) -> str:
    text = (
        f"{result['case']}: {1000 * result['step_s']:.0f} ms per step, {result['samples_per_s']:.1f} samples/s, "
        f"peak memory {result['peak_MiB']:.0f} MiB"
    )
    if "monitor_percent" in result:
        text += f", monitor at the paper's cadence {result['monitor_percent']:.1f}% of training time"
    if "speedup" in result:
        text += f", {result['speedup']:.2f} times the samples/s of {result['rival']}"
    for name, (other_s, of_medians, of_least) in result.get("beside", {}).items():
        text += (
            f"\n    {name} takes {1000 * other_s:.0f} ms: this step takes {of_medians:.2f} times as long "
            f"(least of each: {of_least:.2f})"
        )
    return text


if __name__ == "__main__":
    main()
