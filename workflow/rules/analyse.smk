"""Numbers drawn from the finished runs."""


rule metrics:
    input:
        [f"figures/{TIER}/{output}.csv" for output in PLAN.outputs],
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
        sources=sources.digest("analysis.metrics"),
    message:
        "Collecting the headline numbers (log: {log})"
    shell:
        "python -m analysis.metrics --figures figures/{params.tier} > {log} 2>&1"
