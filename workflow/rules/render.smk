"""Figures, tables and the gallery that shows them: a rule per output, named as the output."""

for output in PLAN.outputs:
    shown, *others = runs.formats(output)

    rule:
        name:
            output
        input:
            PLAN.results_for(output),
        output:
            report(
                f"figures/{TIER}/{output}{shown}",
                caption=f"../../figures/{TIER}/{output}.rst",
                category="Figures" if runs.is_figure(output) else "Tables",
                labels={"output": output, "tier": TIER},
            ),
            multiext(f"figures/{TIER}/{output}", *others),
        log:
            f"logs/{TIER}/render/{output}.log",
        benchmark:
            f"benchmarks/{TIER}/render/{output}.tsv"
        conda:
            "../../envs/conda.yaml"
        threads: PLAN.resources("render")["threads"]
        resources:
            **PLAN.limits("render"),
        params:
            output=output,
            tier=TIER,
            folders=[run.folder for run in PLAN.runs_for(output)],
            sources=sources.digest("analysis.render", runs.module_of(output)),
        message:
            f"Rendering {output} (log: {{log}})"
        shell:
            "python -m analysis.render {params.output} --tier {params.tier} --out figures/{params.tier}"
            " --runs {params.folders} > {log} 2>&1"


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
