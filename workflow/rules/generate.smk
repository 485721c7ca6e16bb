"""Samples of the systems that generate, with a report of what they are like. No figure needs them: ask for the report.

snakemake --cores all results/mini/proteina-60m/seed0/samples/report.json
"""


rule generate:
    input:
        f"results/{RUN}/summary.json",
    output:
        f"results/{RUN}/samples/report.json",
    log:
        f"logs/{TIER}/generate/{{run}}-seed{{seed}}.log",
    benchmark:
        f"benchmarks/{TIER}/generate/{{run}}-seed{{seed}}.tsv"
    wildcard_constraints:
        run="|".join(map(re.escape, PLAN.generating)) or "none",
    conda:
        "../../envs/conda.yaml"
    threads: lambda wildcards: PLAN.asked_by(wildcards, "threads")
    resources:
        mem_mb=lambda wildcards: PLAN.asked_by(wildcards, "mem_mb"),
        runtime=lambda wildcards: PLAN.asked_by(wildcards, "runtime"),
        gpu=lambda wildcards: PLAN.asked_by(wildcards, "gpu"),
    params:
        folder=lambda wildcards: PLAN.run(wildcards.run, wildcards.seed).folder,
        program=lambda wildcards: PLAN.run(wildcards.run, wildcards.seed).generator,
        sources=lambda wildcards: sources.digest(PLAN.run(wildcards.run, wildcards.seed).generator),
    message:
        "Generating from {wildcards.run}, seed {wildcards.seed} (log: {log})"
    shell:
        "python -m {params.program} --run {params.folder} > {log} 2>&1"
