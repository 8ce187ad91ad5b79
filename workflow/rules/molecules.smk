"""Molecules: from their source to a store of SELFIES tokens.

OUTPUTS: results/data/{dataset}/corpus.json, tokens.npy, offsets.npy, vocabulary.json, molecules.parquet, failures.parquet
"""


rule fetch_molecules:
    """Download the molecules, or take them out of RDKit's own distribution, and check them against the registry."""
    input:
        own_file,
    output:
        source=update("results/data/{dataset}/source.json"),
    log:
        "logs/data/{dataset}/fetch.log",
    benchmark:
        "logs/data/{dataset}/fetch.tsv"
    wildcard_constraints:
        dataset=datasets_of("language"),
    priority: 100
    localrule: True
    conda:
        ENVIRONMENT
    params:
        **content_of_own_files(),
        entry=dataset_entry,
        directory=subpath(output[0], parent=True),
    shell:
        r"""
        chemscale fetch {wildcards.dataset:q} - --out {params.directory:q} <<<{params.entry:q} &>{log:q}
        """


rule encode:
    """Canonicalise, drop duplicates, translate to SELFIES, and store the tokens in one seeded order."""
    input:
        source="results/data/{dataset}/source.json",
    output:
        tokens=update("results/data/{dataset}/tokens.npy"),
        offsets=update("results/data/{dataset}/offsets.npy"),
        vocabulary=update("results/data/{dataset}/vocabulary.json"),
        molecules=update("results/data/{dataset}/molecules.parquet"),
        corpus=update("results/data/{dataset}/corpus.json"),
    log:
        "logs/data/{dataset}/encode.log",
    benchmark:
        "logs/data/{dataset}/encode.tsv"
    wildcard_constraints:
        dataset=datasets_of("language"),
    priority: 100  # everything of its arm waits for it
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        **on_cpu(mem_mb=encode_memory, runtime=240),
    params:
        directory=subpath(input.source, parent=True),
    shell:
        r"""
        chemscale encode {params.directory:q} --workers {threads} &>{log:q}
        """
