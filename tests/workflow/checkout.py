"""A copy of the repository's workflow in which every job is a stand-in that finishes at once."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("workflow", "profiles", "config", "envs", "twirl", "models", "data", "analysis")
COPIED = ("Snakefile", *FOLDERS, "dvc.yaml")

# Copies its settings; waits where a file `wait` lies, until it is taken away.
PREPARE = """
import pathlib, sys, time
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
while pathlib.Path("wait").exists():
    time.sleep(0.05)
for suffix in ("", ".report.json"):
    open(options["--out"] + suffix, "w").write(pathlib.Path(options["--config"]).read_text())
"""
TRAIN = """
import pathlib, sys, yaml
text = pathlib.Path(sys.argv[sys.argv.index("--config") + 1]).read_text()
run = yaml.safe_load(text)["run"]
folder = pathlib.Path("results", run["tier"], run["name"], f"seed{run['seed']}")
print("training", folder, file=sys.stderr)
assert not (folder / "fail").exists(), f"{folder} was told to fail"
(folder / "trained").open("a").write("once ")
for name in ("metrics.parquet", "timing.parquet", "summary.json"):
    (folder / name).write_text("result")
(folder / "run.yaml").write_text(text)
"""
MEASURE = """
import pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index("--run") + 1], "measured")
folder.mkdir(exist_ok=True)
(folder / f"{sys.argv[1]}.parquet").write_text("table")
"""
RENDER = """
import pathlib, sys
output, folder = sys.argv[1], pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
for suffix in ("png", "pdf", "html", "md", "csv", "json", "rst"):
    (folder / f"{output}.{suffix}").write_text("a,b\\n1,2\\n")
"""
METRICS = """
import pathlib, sys
pathlib.Path(sys.argv[sys.argv.index("--out") + 1], "metrics.json").write_text("{}")
"""
GALLERY = """
import pathlib, sys
pathlib.Path(sys.argv[sys.argv.index("--figures") + 1], "index.html").write_text("<html>")
"""
STAND_INS = {
    **{f"data/{path.parent.name}/prepare.py": PREPARE for path in ROOT.glob("data/*/prepare.py")},
    "models/train.py": TRAIN,
    "analysis/measure/__main__.py": MEASURE,
    "analysis/render.py": RENDER,
    "analysis/metrics.py": METRICS,
    "analysis/gallery.py": GALLERY,
}


@dataclass(frozen=True)
class Checkout:
    """The copy, and how to run Snakemake in it."""

    folder: Path

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "snakemake", *arguments]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120
        )

    def run(self, tier: str = "smoke", *arguments: str) -> str:
        """Runs a tier to its end and returns what was said."""
        result = self.snakemake("--configfile", f"config/{tier}.yaml", *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)


def copy_workflow(folder: Path) -> Checkout:
    folder.mkdir(parents=True)
    leave_out = shutil.ignore_patterns("__pycache__", "prepared", "*.hdf5", "*.part")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=leave_out)
        elif source.exists():
            shutil.copy(source, folder / name)
    for name, text in STAND_INS.items():
        (folder / name).write_text(text)
    tier = folder / "config/smoke.yaml"
    tier.write_text(tier.read_text().replace("start: warm", "start: cold"))  # the stand-ins import nothing
    return Checkout(folder)
