"""Numbers drawn from the trained runs."""


rule metrics:
    input:
        [f"{run.folder}/{file}" for run in PLAN.runs for file in ("metrics.parquet", "summary.json")],
    output:
        f"figures/{TIER}/metrics.json",
    log:
        f"logs/{TIER}/metrics.log",
    benchmark:
        f"benchmarks/{TIER}/metrics.tsv"
    conda:
        "../envs/conda.yaml"
    threads: PLAN.resources("render")["threads"]
    resources:
        **PLAN.limits("render"),
    params:
        folders=[run.folder for run in PLAN.runs],
        sources=runs.source_digest("analysis/**/*.py"),
    message:
        "Collecting the headline numbers (log: {log})"
    shell:
        "python -m analysis.metrics --out {output} --runs {params.folders} > {log} 2>&1"
