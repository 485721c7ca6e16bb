"""Training: a job per run. Checkpoints are no outputs, so that they survive failures and retries."""

RUN = f"{TIER}/{{run}}/seed{{seed}}"


rule train:
    input:
        lambda wildcards: PLAN.run(wildcards.run, wildcards.seed).store,
    output:
        multiext(f"results/{RUN}/", *RUN_FILES),
    log:
        f"logs/{TIER}/train/{{run}}-seed{{seed}}.log",
    benchmark:
        f"benchmarks/{TIER}/train/{{run}}-seed{{seed}}.tsv"
    priority: lambda wildcards: PLAN.priority(PLAN.run(wildcards.run, wildcards.seed))
    conda:
        "../../envs/conda.yaml"
    threads: lambda wildcards: PLAN.asked_by(wildcards, "threads")
    resources:
        mem_mb=lambda wildcards: PLAN.asked_by(wildcards, "mem_mb"),
        runtime=lambda wildcards: PLAN.asked_by(wildcards, "runtime"),
        gpu=lambda wildcards: PLAN.asked_by(wildcards, "gpu"),
        tasks=0,  # one Slurm task however many GPUs: Lightning starts its own processes
        # No param, since a run does not notice it.
        program="models.warm" if PLAN.config["start"] == "warm" else "models.train",
    params:
        settings=lambda wildcards: calls.settings_of_run(PLAN.run(wildcards.run, wildcards.seed)),
        sources=lambda wildcards: sources.digest(*PLAN.run(wildcards.run, wildcards.seed).sources),
    message:
        "Training {wildcards.run}, seed {wildcards.seed} (log: {log})"
    shell:
        "python -m {resources.program} --config {params.settings} 2>&1 | tee {log}"
