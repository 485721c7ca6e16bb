"""Training: one job per group of runs. Checkpoints are no outputs, so that they survive failures and retries."""

for group in PLAN.groups:

    rule:
        name:
            f"train_{group.name}"
        input:
            settings=[f"{folder}/run.yaml" for folder in group.folders],
            store=PLAN.store(group.dataset),
        output:
            metrics=[f"{folder}/metrics.parquet" for folder in group.folders],
            timing=[f"{folder}/timing.parquet" for folder in group.folders],
            summary=[f"{folder}/summary.json" for folder in group.folders],
        log:
            f"logs/{TIER}/train/{group.name}.log",
        benchmark:
            f"benchmarks/{TIER}/train/{group.name}.tsv"
        conda:
            "../../envs/conda.yaml"
        threads: PLAN.resources("train")["threads"]
        resources:
            **PLAN.limits("train"),
            tasks=0,  # one Slurm task however many GPUs: Lightning starts its own processes
        params:
            folders=group.folders,
            sources=[sources.digest(*sources.training_modules(run.settings)) for run in group.runs],
        message:
            f"Training {len(group.runs)} runs in process {group.name} (log: {{log}})"
        shell:
            "python -m models.train_group {params.folders} 2>&1 | tee {log}"
