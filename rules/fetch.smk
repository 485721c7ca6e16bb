"""Raw bytes: each file has a DVC pointer beside it with its checksum and its origin."""


rule fetch:
    input:
        "data/{dataset}/raw/{file}.dvc",
    output:
        "data/{dataset}/raw/{file}",
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
        "Fetching {output} (log: {log})"
    shell:
        "python -m data.fetch {input} --mirror '{resources.mirror}' 2>&1 | tee {log}"
