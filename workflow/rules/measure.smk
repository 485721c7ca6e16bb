"""What is done to trained networks: a table of the run for every measurement that its file asks for."""


rule measure:
    input:
        trained="{folder}/summary.json",
        store=lambda wildcards: PLAN.store(PLAN.measured(**wildcards).run.dataset),
    output:
        "{folder}/measured/{measurement}.parquet",
    log:
        "logs/{folder}/measured/{measurement}.log",
    benchmark:
        "benchmarks/{folder}/measured/{measurement}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: PLAN.resources("measure")["threads"]
    resources:
        **PLAN.limits("measure"),
    params:
        settings=lambda wildcards: json.dumps(PLAN.measured(**wildcards).settings),
        sources=lambda wildcards: sources.digest(*PLAN.measured(**wildcards).modules),
    message:
        "Measuring {wildcards.measurement} of {wildcards.folder} (log: {log})"
    shell:
        "python -m analysis.measure {wildcards.measurement} --run {wildcards.folder}"
        " --settings {params.settings:q} > {log} 2>&1"
