"""Raw bytes: each file has a DVC pointer beside it with its checksum and its origin.

The output is not the file but a copy of the pointer that it was checked against: Snakemake deletes outputs before it
runs a job, and would delete what somebody brought by hand or by `dvc pull`.
"""


rule fetch:
    input:
        "data/{dataset}/raw/{file}.dvc",
    output:
        "data/{dataset}/raw/{file}.checked",
    log:
        "logs/fetch/{dataset}/{file}.log",
    benchmark:
        "benchmarks/fetch/{dataset}/{file}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        dvc=1,
        gpu=0,
        # No param, since another mirror has the same bytes: a change of it is no reason to fetch again.
        mirror=shlex.quote(PLAN.mirror or ""),
        mem_mb=500,
        runtime=720,
    message:
        "Fetching data/{wildcards.dataset}/raw/{wildcards.file} (log: {log})"
    shell:
        "python -m data.fetch {input} --mirror {resources.mirror} 2>&1 | tee {log} && cp {input} {output}"


# The list of records is the output, not the records: those that came survive a failure, and are not fetched again.
rule fetch_entries:
    input:
        lambda wildcards: [f"{file}.checked" for file in PLAN.raw_files(wildcards.dataset)],
    output:
        f"data/{{dataset}}/prepared/{TIER}.entries.tsv",
    log:
        f"logs/{TIER}/fetch/{{dataset}}_entries.log",
    benchmark:
        f"benchmarks/{TIER}/fetch/{{dataset}}_entries.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=4000,
        runtime=2880,
    params:
        settings=lambda wildcards: calls.settings_of_data(PLAN, wildcards.dataset),
    message:
        "Fetching the entries of {output} (log: {log})"
    shell:
        "python -m data.{wildcards.dataset}.entries --config {params.settings} --out {output} 2>&1 | tee {log}"
