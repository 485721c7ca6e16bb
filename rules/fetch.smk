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
        "../envs/conda.yaml"
    threads: 1
    resources:
        dvc=1,
        gpu=0,
        # No param, since another mirror has the same bytes: a change of it is no reason to fetch again.
        mirror=PLAN.mirror or "",
        mem_mb=500,
        runtime=720,
    message:
        "Fetching data/{wildcards.dataset}/raw/{wildcards.file} (log: {log})"
    shell:
        "python -m data.fetch {input} --mirror '{resources.mirror}' 2>&1 | tee {log} && cp {input} {output}"
