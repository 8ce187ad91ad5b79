"""Scaling: one table of all runs, and the laws fitted to it.

OUTPUTS: results/{study}/tables/runs.parquet, runs.csv, histories.parquet, sweeps.parquet, datasets.csv; results/{study}/fits/{arm}.json
"""


rule collect:
    """Collect the records of all cells in one table, one row per cell, those that failed or are missing included."""
    input:
        records=to_collect(RECORDS),
        qualities=to_collect(QUALITIES),
        dynamics=to_collect(DYNAMICS),
        errors=to_collect(ERRORS),
        sweeps=to_collect(SWEEPS),
        datasets=to_collect(HEADERS),
    output:
        runs=f"{TABLES}/runs.parquet",
        readable=f"{TABLES}/runs.csv",
        histories=f"{TABLES}/histories.parquet",
        sweeps=f"{TABLES}/sweeps.parquet",
        datasets=f"{TABLES}/datasets.csv",
    log:
        "logs/{study}/collect.log",
    benchmark:
        "logs/{study}/collect.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        cells="\n".join(sorted(CELLS)),
        results="results/{study}",
        tables=subpath(output.runs, parent=True),
        datasets=lambda wildcards, input: [f"--dataset={header}" for header in input.datasets],
    shell:
        r"""
        chemscale collect {params.results:q} {input.sweeps:q} {params.datasets:q} --cells - --out {params.tables:q} \
            <<<{params.cells:q} &>{log:q}
        """


rule fit:
    """Fit scaling laws to one arm, with intervals, a statement of what is identified, and a forecast test."""
    input:
        runs=f"{TABLES}/runs.parquet",
    output:
        fits="results/{study}/fits/{arm}.json",
    log:
        "logs/{study}/fit/{arm}.log",
    benchmark:
        "logs/{study}/fit/{arm}.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        **config["scaling"],
    shell:
        r"""
        chemscale fit {input.runs:q} --arm {wildcards.arm} --confidence {params.confidence} \
            --draws {params.draws} --seed {params.seed} --out {output.fits:q} &>{log:q}
        """
