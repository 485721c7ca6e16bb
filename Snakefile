"""The replication's front door: what can be asked for, and which files hold the rules behind it.

snakemake --cores all                                   everything of the mini tier
snakemake --cores all figures/mini/a_fig2.pdf           one figure; `a_fig2` for short
snakemake --cores all --configfile config/subset.yaml   another tier
"""

import json
import sys
from pathlib import Path

from snakemake.utils import min_version

sys.path.insert(0, workflow.basedir)

from models import sources
from workflow import inputs, plan as runs
from workflow.configuration import ConfigError

min_version("9.0")

try:
    PLAN = runs.load(config)
except ConfigError as error:
    sys.exit(f"Configuration: {error}")

TIER = PLAN.tier
GALLERY = f"figures/{TIER}/index.html"
METRICS = f"figures/{TIER}/metrics.json"

inputs.write_inputs(PLAN)
# Bash's strict mode, which a prefix of one's own replaces; then the interpreter that runs Snakemake, whether or not
# its environment is activated.
shell.prefix(f"set -euo pipefail; export PATH='{Path(sys.executable).parent}':$PATH; ")


wildcard_constraints:
    dataset=r"[a-z0-9_]+",
    folder=r"results/[^/]+/[^/]+/seed[0-9]+",
    measurement=r"[a-z_]+",
    file=r"[^/]+(?<!\.dvc)(?<!\.checked)",


include: "workflow/rules/fetch.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/render.smk"


localrules:
    all,
    fetched,
    trained,
    figures,
    tables,


rule all:
    default_target: True
    input:
        [f"{run.folder}/summary.json" for run in PLAN.runs],
        [*PLAN.measurements],
        METRICS,
        GALLERY,


rule fetched:
    input:
        [f"{file}.checked" for dataset in PLAN.datasets for file in PLAN.raw_files(dataset)],
        [listing for dataset in PLAN.datasets for listing in PLAN.listed(dataset)],


rule trained:
    input:
        [f"{run.folder}/summary.json" for run in PLAN.runs],


rule figures:
    input:
        [f"figures/{TIER}/{figure}.pdf" for figure in PLAN.figures],


rule tables:
    input:
        [f"figures/{TIER}/{table}.csv" for table in PLAN.tables],


onsuccess:
    if Path(GALLERY).exists():
        print(f"Gallery: {GALLERY}", file=sys.stderr)
