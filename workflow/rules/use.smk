"""Use: what trained models are good for.

OUTPUTS: results/{study}/runs/<cell>/samples.parquet, quality.json, and simulations.parquet, dynamics.json,
errors.json; results/data/{dataset}/properties-{molecules}.parquet and minima-{molecules}.parquet
"""


rule properties:
    """Compute the properties of the training molecules that generated ones are compared with."""
    input:
        corpus="results/data/{dataset}/corpus.json",
    output:
        properties="results/data/{dataset}/properties-{molecules}.parquet",
    log:
        "logs/data/{dataset}/properties-{molecules}.log",
    benchmark:
        "logs/data/{dataset}/properties-{molecules}.tsv"
    wildcard_constraints:
        dataset=datasets_of("language"),
        molecules="[0-9]+",
    conda:
        "../../envs/chemscale.yaml"
    threads: 1
    resources:
        mem_mb=encode_memory,
        runtime=60,
    params:
        directory=subpath(input.corpus, parent=True),
    shell:
        r"""
        chemscale properties {params.directory:q} --molecules {wildcards.molecules} --out {output.properties:q} \
            &>{log:q}
        """


rule generate:
    """Generate molecules with a trained language model and compare them with those it was trained on."""
    input:
        metrics="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/metrics.json",
        model="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/model.safetensors",
        corpus=data_of_arm,
        properties=training_properties,
    output:
        samples="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/samples.parquet",
        quality="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/quality.json",
    log:
        "logs/{study}/generate/{arm}/{family}/{size}/{data}/seed{seed}.log",
    benchmark:
        "logs/{study}/generate/{arm}/{family}/{size}/{data}/seed{seed}.tsv"
    wildcard_constraints:
        arm="language",
    conda:
        "../../envs/chemscale.yaml"
    threads: 1
    resources:
        mem_mb=cell_memory,
        runtime=60,
        gpu=lambda wildcards: min(1, cell_gpu(wildcards)),
    params:
        record=subpath(input.metrics, parent=True),
        corpus=subpath(input.corpus, parent=True),
        molecules=lambda wildcards: config["language"]["generate"]["molecules"],
        temperature=lambda wildcards: config["language"]["generate"]["temperature"],
        max_tokens=longest_molecule,
    shell:
        r"""
        chemscale generate {params.record:q} --number {params.molecules} --temperature {params.temperature} \
            --max-tokens {params.max_tokens} --corpus {params.corpus:q} --properties {input.properties:q} \
            --out {output.samples:q} --summary {output.quality:q} --gpus {resources.gpu} &>{log:q}
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
        "../../envs/chemscale.yaml"
    threads: 1
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        directory=subpath(input.store, parent=True),
    shell:
        r"""
        chemscale minima {params.directory:q} --molecules {wildcards.molecules} --out {output.minima:q} &>{log:q}
        """


rule simulate:
    """Run dynamics and relaxations of held-out molecules with a trained potential, and judge them."""
    input:
        metrics="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/metrics.json",
        model="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/model.safetensors",
        minima=molecules_to_simulate,
    output:
        simulations="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/simulations.parquet",
        dynamics="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/dynamics.json",
    log:
        "logs/{study}/simulate/{arm}/{family}/{size}/{data}/seed{seed}.log",
    benchmark:
        "logs/{study}/simulate/{arm}/{family}/{size}/{data}/seed{seed}.tsv"
    wildcard_constraints:
        arm="potential",
    conda:
        "../../envs/chemscale.yaml"
    threads: 1
    resources:
        mem_mb=cell_memory,
        runtime=60,
        gpu=lambda wildcards: min(1, cell_gpu(wildcards)),
    params:
        record=subpath(input.metrics, parent=True),
        temperature=lambda wildcards: config["potential"]["simulate"]["temperature"],
        picoseconds=lambda wildcards: config["potential"]["simulate"]["picoseconds"],
        step=lambda wildcards: config["potential"]["simulate"]["step_fs"],
    shell:
        r"""
        chemscale simulate {params.record:q} {input.minima:q} --temperature {params.temperature} \
            --picoseconds {params.picoseconds} --step {params.step} --out {output.simulations:q} \
            --summary {output.dynamics:q} --gpus {resources.gpu} &>{log:q}
        """


rule evaluate:
    """Errors of a trained potential on datasets it was not trained on: larger molecules, hotter ones."""
    input:
        metrics="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/metrics.json",
        model="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/model.safetensors",
        stores=stores_evaluated_on(),
    output:
        errors="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/errors.json",
    log:
        "logs/{study}/evaluate/{arm}/{family}/{size}/{data}/seed{seed}.log",
    benchmark:
        "logs/{study}/evaluate/{arm}/{family}/{size}/{data}/seed{seed}.tsv"
    wildcard_constraints:
        arm="potential",
    conda:
        "../../envs/chemscale.yaml"
    threads: 1
    resources:
        mem_mb=cell_memory,
        runtime=60,
        gpu=lambda wildcards: min(1, cell_gpu(wildcards)),
    params:
        record=subpath(input.metrics, parent=True),
        stores=[f"results/data/{name}" for name in EVALUATED_ON],
    shell:
        r"""
        chemscale evaluate {params.record:q} {params.stores:q} --out {output.errors:q} --gpus {resources.gpu} &>{log:q}
        """
