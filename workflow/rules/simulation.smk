"""Simulation: dynamics and relaxations by trained potentials, and their errors on other datasets.

OUTPUTS: results/data/{dataset}/minima-{molecules}.parquet; results/{study}/runs/<cell>/simulations.parquet,
dynamics.json, errors.json
"""


rule minima:
    """Pick the held-out molecules that potentials are simulated on, and relax them by the method of the labels."""
    input:
        store="results/data/{dataset}/geometries.json",
    output:
        minima="results/data/{dataset}/minima-{molecules}.parquet",
    log:
        "logs/data/{dataset}/minima-{molecules}.log",
    benchmark:
        "logs/data/{dataset}/minima-{molecules}.tsv"
    wildcard_constraints:
        dataset=datasets_of("potential"),
        molecules="[0-9]+",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **on_cpu(mem_mb=lambda wildcards: 2500, runtime=60),
    params:
        directory=subpath(input.store, parent=True),
    shell:
        r"""
        chemscale minima {params.directory:q} --molecules {wildcards.molecules} --out {output.minima:q} &>{log:q}
        """


rule simulate:
    """Run dynamics and relaxations of held-out molecules with a trained potential, and judge them."""
    input:
        metrics=f"{RUN}/metrics.json",
        model=f"{RUN}/model.safetensors",
        minima=molecules_to_simulate,
    output:
        simulations=f"{RUN}/simulations.parquet",
        dynamics=f"{RUN}/dynamics.json",
    log:
        f"logs/{{study}}/simulate/{CELL}.log",
    benchmark:
        f"logs/{{study}}/simulate/{CELL}.tsv"
    wildcard_constraints:
        arm="potential",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **cell_asks("simulate"),
    params:
        record=subpath(input.metrics, parent=True),
        temperature=SIMULATE.get("temperature"),
        picoseconds=SIMULATE.get("picoseconds"),
        step=SIMULATE.get("step_fs"),
    shell:
        r"""
        chemscale simulate {params.record:q} {input.minima:q} --temperature {params.temperature} \
            --picoseconds {params.picoseconds} --step {params.step} --out {output.simulations:q} \
            --summary {output.dynamics:q} --gpus {resources.gpu} &>{log:q}
        """


rule evaluate:
    """Errors of a trained potential on datasets it was not trained on: larger molecules, hotter ones."""
    input:
        metrics=f"{RUN}/metrics.json",
        model=f"{RUN}/model.safetensors",
        stores=stores_evaluated_on(),
    output:
        errors=f"{RUN}/errors.json",
    log:
        f"logs/{{study}}/evaluate/{CELL}.log",
    benchmark:
        f"logs/{{study}}/evaluate/{CELL}.tsv"
    wildcard_constraints:
        arm="potential",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **cell_asks("evaluate"),
    params:
        record=subpath(input.metrics, parent=True),
        stores=[f"results/data/{name}" for name in EVALUATED_ON],
    shell:
        r"""
        chemscale evaluate {params.record:q} {params.stores:q} --out {output.errors:q} --gpus {resources.gpu} &>{log:q}
        """
