"""Stores that training reads, one per data set and tier."""


rule prepare:
    input:
        # Not the raw bytes, whose date changes when they are merely checked out again.
        raw=lambda wildcards: [f"{file}.checked" for file in PLAN.raw_files(wildcards.dataset)],
        listed=lambda wildcards: PLAN.listed(wildcards.dataset),
    output:
        store=f"data/{{dataset}}/prepared/{TIER}.h5",
        report=f"data/{{dataset}}/prepared/{TIER}.h5.report.json",
    log:
        f"logs/{TIER}/prepare/{{dataset}}.log",
    benchmark:
        f"benchmarks/{TIER}/prepare/{{dataset}}.tsv"
    priority: 1
    conda:
        "../../envs/conda.yaml"
    threads: PLAN.resources("prepare")["threads"]
    resources:
        **PLAN.limits("prepare"),
    params:
        settings=lambda wildcards: calls.settings_of_data(PLAN, wildcards.dataset),
        sources=lambda wildcards: sources.digest(f"data.{wildcards.dataset}.prepare"),
    message:
        "Preparing {output.store} (log: {log})"
    shell:
        "python -m data.{wildcards.dataset}.prepare --config {params.settings} --out {output.store}"
        " --workers {threads} 2>&1 | tee {log}"


# What the stores hold, in one file: DVC's stage of all preparations has one output in every tier.
rule prepared:
    input:
        [f"{PLAN.store(dataset)}.report.json" for dataset in PLAN.datasets],
    output:
        f"results/prepared/{TIER}.txt",
    log:
        f"logs/{TIER}/prepare/prepared.log",
    benchmark:
        f"benchmarks/{TIER}/prepare/prepared.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        **PLAN.limits("render"),
    message:
        "Listing what is prepared in {output}"
    shell:
        "cat {input} > {output} 2> {log}"
