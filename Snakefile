"""The replication's front door: what can be asked for, and which files hold the rules behind it.

snakemake --cores all                                   everything of the mini tier
snakemake --cores all figures/mini/a_fig2.pdf           one figure
snakemake --cores all --configfile config/subset.yaml   another tier
"""

import json
import re
import shlex
import sys
from pathlib import Path

from snakemake.utils import min_version

sys.path.insert(0, workflow.basedir)

from analysis import catalogue
from data.validation import SettingsError
from models import sources
from models.training.files import RUN_FILES
from workflow import calls

min_version("9.0")

try:
    PLAN = calls.plan_of_call(config)
except SettingsError as error:
    sys.exit(f"Configuration: {error}")

print(*PLAN.left_out, sep="\n", end="\n" * bool(PLAN.left_out), file=sys.stderr)

TIER = PLAN.tier
GALLERY = f"figures/{TIER}/index.html"
METRICS = f"figures/{TIER}/metrics.json"

# Bash's strict mode, which a prefix of one's own replaces; then the interpreter that runs Snakemake, whether or not
# its environment is activated.
PATH = shlex.quote(str(Path(sys.executable).parent)).replace("{", "{{").replace("}", "}}")
shell.prefix(f"set -euo pipefail; export PATH={PATH}:$PATH; ")


wildcard_constraints:
    dataset=r"[a-z0-9_]+",
    measurement=r"[a-z_]+",
    run="|".join(map(re.escape, PLAN.names)),
    seed=r"\d+",
    figure="|".join(PLAN.figures) or "none",
    table="|".join(PLAN.tables) or "none",
    file=r"[^/]+(?<!\.dvc)(?<!\.checked)",


include: "workflow/rules/fetch.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/generate.smk"
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


onstart:
    calls.keep(PLAN)


onsuccess:
    if Path(GALLERY).exists():
        print(f"Gallery: {GALLERY}", file=sys.stderr)
