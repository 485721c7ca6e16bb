"""Where an output came from: runs, tier, commit, command, versions and a digest of what was read."""

from __future__ import annotations

import hashlib
import platform
import shlex
from importlib.metadata import version

from analysis.results import Results
from models.sources import commit

LIBRARIES = ("matplotlib", "numpy", "pandas", "pyarrow")


def provenance(output: str, script: str, results: Results, command: list[str]) -> dict:
    """What the .json beside an output says; no time, so that rendering again gives the same bytes."""
    runs = {run.id: run.digest for run in results.runs}
    return {
        "output": output,
        "tier": results.tier,
        "script": script,
        "commit": commit(),
        "command": shlex.join(command),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "runs": runs,
        "trained_at_commit": sorted({str(run.summary.get("commit")) for run in results.runs}),
        "trained_on": sorted({str(run.summary["device"]) for run in results.runs if "device" in run.summary}),
        "data": sorted({_data(run.data) for run in results.runs}),
        "caveats": {run.name: text for run in results.runs if (text := run.data.get("caveat"))},
        "inputs_digest": hashlib.sha256(
            "".join(f"{k} {v}\n" for k, v in sorted(runs.items())).encode()
        ).hexdigest(),
    }


def _data(data: dict) -> str:
    named = "dataset" if "dataset" in data else "labels"
    return f"{data.get(named)}; {data.get('source')}"


def file_metadata(about: dict, title: str) -> dict[str, str]:
    """The same in the keys that both PDF and PNG know."""
    return {
        "Title": title,
        "Author": "twirl",
        "Subject": f"tier {about['tier']}, commit {about['commit']}, inputs {about['inputs_digest'][:16]}",
        "Keywords": "; ".join([*about["runs"], about["command"]]),
    }
