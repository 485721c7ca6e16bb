"""Training throughput on this machine: `python -m models.bench escaip [--threads 1] [--steps 10]`.

Every case runs in a process of its own, so that its peak memory is its own. Cases come from
models/<system>/bench.py: a dict `CASES` of names to functions without arguments that return a Case.
"""

import argparse
import importlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from models.training.process import tune_process


@dataclass(frozen=True)
class Case:
    """One thing to time.

    step: runs one training step of `samples` examples. measure: runs one measurement of the equivariance
    monitor, on as many examples, or None. cadence: training steps between measurements in the paper.
    reference: what to compare samples/s with, as (samples/s, where it was measured), or None. rival: another
    way to run the same step, timed in turns with it in this process, as (step, what it is), or None.
    """

    step: Callable[[], None]
    samples: int
    measure: Callable[[], None] | None = None
    cadence: int | None = None
    reference: tuple[float, str] | None = None
    rival: tuple[Callable[[], None], str] | None = None


def median_seconds(function: Callable[[], None], repeats: int) -> float:
    """Median duration of a call after two calls to warm up; waits for the GPU, if there is one."""
    durations = []
    for _ in range(repeats + 2):
        begun = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        durations.append(time.perf_counter() - begun)
    return statistics.median(durations[2:])


def run_case(system: str, name: str, threads: int, steps: int) -> dict:
    """Times one case in this process."""
    torch.set_num_threads(threads)
    tune_process()
    case = importlib.import_module(f"models.{system}.bench").CASES[name]()
    seconds = median_seconds(case.step, steps)
    result = {"case": f"{system} {name}", "step_s": seconds, "samples_per_s": case.samples / seconds}
    on_gpu = torch.cuda.is_available()
    peak = (
        torch.cuda.max_memory_allocated()
        if on_gpu
        else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    result["peak_MiB"] = peak / 2**20
    if case.measure is not None:
        overhead = median_seconds(case.measure, max(3, steps // 3)) / (case.cadence * seconds)
        result["monitor_percent"] = 100 * overhead
    if case.reference is not None:
        rate, source = case.reference
        result |= {"speedup": result["samples_per_s"] / rate, "reference": source}
    if case.rival is not None:
        rival, source = case.rival
        ratios = [median_seconds(rival, 1) / median_seconds(case.step, 1) for _ in range(max(3, steps // 3))]
        result |= {"speedup": statistics.median(ratios), "reference": source}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.bench", description=__doc__.splitlines()[0])
    systems = sorted(path.parent.name for path in Path(__file__).parent.glob("*/bench.py"))
    parser.add_argument(
        "systems", nargs="+", metavar="system", choices=systems, help=f"any of: {', '.join(systems)}"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default 1)")
    parser.add_argument("--steps", type=int, default=10, help="timed steps per case (default 10)")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(run_case(arguments.systems[0], arguments.case, arguments.threads, arguments.steps)))
        return
    for system in arguments.systems:
        for name in importlib.import_module(f"models.{system}.bench").CASES:
            options = ["--threads", str(arguments.threads), "--steps", str(arguments.steps), "--case", name]
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
        text += f", {result['speedup']:.2f} times the samples/s of {result['reference']}"
    return text


if __name__ == "__main__":
    main()
