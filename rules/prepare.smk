"""Stores that training reads, one per data set and tier."""


rule prepare:
    input:
        settings=f"data/{{dataset}}/prepared/{TIER}.yaml",
        # A store is made anew when a pointer changes, not when raw bytes are merely checked out again.
        pointers=lambda wildcards: [f"{file}.dvc" for file in PLAN.raw_files(wildcards.dataset)],
        raw=lambda wildcards: ancient(PLAN.raw_files(wildcards.dataset)),
    output:
        store=f"data/{{dataset}}/prepared/{TIER}.h5",
        report=f"data/{{dataset}}/prepared/{TIER}.h5.report.json",
    log:
        f"logs/{TIER}/prepare/{{dataset}}.log",
    benchmark:
        f"benchmarks/{TIER}/prepare/{{dataset}}.tsv"
    conda:
        "../envs/conda.yaml"
    threads: PLAN.resources("prepare")["threads"]
    resources:
        **PLAN.limits("prepare"),
    params:
        sources=lambda wildcards: sources.digest(f"data/{wildcards.dataset}/*.py", "data/*.py"),
    message:
        "Preparing {output.store} (log: {log})"
    shell:
        "python -m data.{wildcards.dataset}.prepare --config {input.settings} --out {output.store}"
        " --workers {threads} 2>&1 | tee {log}"
