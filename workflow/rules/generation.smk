"""Generation: the molecules that trained language models make, and how good they are.

OUTPUTS: results/data/{dataset}/properties-{molecules}.parquet; results/{study}/runs/<cell>/samples.parquet, quality.json
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
        ENVIRONMENT
    threads: 1
    resources:
        **on_cpu(mem_mb=encode_memory, runtime=60),
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
        metrics=f"{RUN}/metrics.json",
        model=f"{RUN}/model.safetensors",
        corpus=data_of_arm,
        properties=training_properties,
    output:
        samples=f"{RUN}/samples.parquet",
        quality=f"{RUN}/quality.json",
    log:
        f"logs/{{study}}/generate/{CELL}.log",
    benchmark:
        f"logs/{{study}}/generate/{CELL}.tsv"
    wildcard_constraints:
        arm="language",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **cell_asks("generate"),
    params:
        record=subpath(input.metrics, parent=True),
        corpus=subpath(input.corpus, parent=True),
        molecules=GENERATE.get("molecules"),
        temperature=GENERATE.get("temperature"),
        max_tokens=longest_molecule,
    shell:
        r"""
        chemscale generate {params.record:q} --number {params.molecules} --temperature {params.temperature} \
            --max-tokens {params.max_tokens} --corpus {params.corpus:q} --properties {input.properties:q} \
            --out {output.samples:q} --summary {output.quality:q} --gpus {resources.gpu} &>{log:q}
        """
