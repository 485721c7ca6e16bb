"""What is done to trained networks: a table of the run for every measurement that its file asks for."""


rule measure:
    input:
        trained=f"results/{RUN}/summary.json",
        store=lambda wildcards: PLAN.run(wildcards.run, wildcards.seed).store,
    output:
        f"results/{RUN}/measured/{{measurement}}.parquet",
    log:
        f"logs/{TIER}/measure/{{run}}-seed{{seed}}-{{measurement}}.log",
    benchmark:
        f"benchmarks/{TIER}/measure/{{run}}-seed{{seed}}-{{measurement}}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: lambda wildcards: PLAN.asked_by(wildcards, "threads")
    resources:
        mem_mb=lambda wildcards: PLAN.asked_by(wildcards, "mem_mb"),
        runtime=lambda wildcards: PLAN.asked_by(wildcards, "runtime"),
        gpu=lambda wildcards: PLAN.asked_by(wildcards, "gpu"),
        # No param, since a measurement does not notice it.
        program=(
            "models.warm analysis.measure.__main__" if PLAN.config["start"] == "warm" else "analysis.measure"
        ),
    params:
        folder=lambda wildcards: PLAN.run(wildcards.run, wildcards.seed).folder,
        settings=lambda wildcards: json.dumps(PLAN.measured(**wildcards).settings),
        sources=lambda wildcards: sources.digest(*PLAN.measured(**wildcards).modules),
    message:
        "Measuring {wildcards.measurement} of {wildcards.run}, seed {wildcards.seed} (log: {log})"
    shell:
        "python -m {resources.program} {wildcards.measurement} --run {params.folder}"
        " --settings {params.settings:q} > {log} 2>&1"
