"""Figures, tables and the gallery that shows them."""

# Not a param: where the page finds what is not drawn yet is no reason to draw again.
PUBLISHED = f"figures/published/{TIER}"
RENDER = (
    "python -m analysis.render {params.output} --tier {params.tier} --out figures/{params.tier}"
    " --runs {params.folders} > {log} 2>&1"
    " && python -m analysis.gallery --figures figures/{params.tier}"
    f" --published {PUBLISHED} >> {{log}} 2>&1"
)


rule figure:
    input:
        lambda wildcards: PLAN.results_for(wildcards.figure),
    output:
        report(
            f"figures/{TIER}/{{figure}}.png",
            caption="../caption.rst",
            category="Figures",
            labels={"output": "{figure}", "tier": TIER},
        ),
        multiext(f"figures/{TIER}/{{figure}}", *catalogue.FILES[catalogue.FIGURE][1:]),
    log:
        f"logs/{TIER}/render/{{figure}}.log",
    benchmark:
        f"benchmarks/{TIER}/render/{{figure}}.tsv"
    priority: 2
    conda:
        "../../envs/conda.yaml"
    threads: PLAN.resources("render")["threads"]
    resources:
        **PLAN.limits("render"),
    params:
        output=lambda wildcards: wildcards.figure,
        tier=TIER,
        folders=lambda wildcards: PLAN.folders_for(wildcards.figure),
        sources=lambda wildcards: sources.digest(*PLAN.drawn_by(wildcards.figure)),
    message:
        "Rendering {wildcards.figure} (log: {log})"
    shell:
        RENDER


use rule figure as table with:
    input:
        lambda wildcards: PLAN.results_for(wildcards.table),
    output:
        report(
            f"figures/{TIER}/{{table}}.csv",
            caption="../caption.rst",
            category="Tables",
            labels={"output": "{table}", "tier": TIER},
        ),
        multiext(f"figures/{TIER}/{{table}}", *catalogue.FILES[catalogue.TABLE][1:]),
    log:
        f"logs/{TIER}/render/{{table}}.log",
    benchmark:
        f"benchmarks/{TIER}/render/{{table}}.tsv"
    params:
        output=lambda wildcards: wildcards.table,
        tier=TIER,
        folders=lambda wildcards: PLAN.folders_for(wildcards.table),
        sources=lambda wildcards: sources.digest(*PLAN.drawn_by(wildcards.table)),
    message:
        "Rendering {wildcards.table} (log: {log})"


rule gallery:
    input:
        [f"figures/{TIER}/{output}.json" for output in PLAN.outputs],
    output:
        GALLERY,
    log:
        f"logs/{TIER}/gallery.log",
    benchmark:
        f"benchmarks/{TIER}/gallery.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: PLAN.resources("render")["threads"]
    resources:
        **PLAN.limits("render"),
    params:
        tier=TIER,
        sources=sources.digest("analysis.gallery"),
    message:
        "Assembling {output} (log: {log})"
    shell:
        "python -m analysis.gallery --figures figures/{params.tier} > {log} 2>&1"
