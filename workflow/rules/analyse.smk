"""Numbers drawn from the finished runs."""


rule metrics:
    input:
        [f"{run.folder}/{name}" for run in PLAN.runs for name in RUN_FILES],
    output:
        METRICS,
    log:
        f"logs/{TIER}/metrics.log",
    benchmark:
        f"benchmarks/{TIER}/metrics.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: PLAN.resources("render")["threads"]
    resources:
        **PLAN.limits("render"),
    params:
        tier=TIER,
        folders=[run.folder for run in PLAN.runs],
        sources=sources.digest("analysis.metrics"),
    message:
        "Collecting the headline numbers (log: {log})"
    shell:
        "python -m analysis.metrics --tier {params.tier} --out figures/{params.tier} --runs {params.folders}"
        " > {log} 2>&1"
