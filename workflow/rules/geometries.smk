"""Geometries: molecules in space with the energies and forces of a quantum-chemical method.

OUTPUTS: results/data/{dataset}/geometries.json with z, positions, forces, energy, offsets and group as .npy, groups.json, failures.parquet, sanity.json, sanity.txt
"""


rule label:
    """Embed molecules, displace them thermally, and label them with GFN2-xTB; finished ones outlive a kill."""
    input:
        own_file,
    output:
        geometries=update("results/data/{dataset}/geometries.json"),
    log:
        "logs/data/{dataset}/label.log",
    benchmark:
        "logs/data/{dataset}/label.tsv"
    wildcard_constraints:
        dataset=datasets_of("potential", fetched=False),
    priority: 100  # everything of its arm waits for it
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        **on_cpu(mem_mb=lambda wildcards: 4000, runtime=120),
    params:
        **content_of_own_files(),
        entry=dataset_entry,
        directory=subpath(output[0], parent=True),
    shell:
        r"""
        chemscale label {wildcards.dataset:q} - --out {params.directory:q} --workers {threads} \
            <<<{params.entry:q} &>{log:q}
        """


rule fetch_geometries:
    """Download labelled geometries, or find the file, and check it against the registry."""
    input:
        own_file,
    output:
        source=update("results/data/{dataset}/source.json"),
    log:
        "logs/data/{dataset}/fetch.log",
    benchmark:
        "logs/data/{dataset}/fetch.tsv"
    wildcard_constraints:
        dataset=datasets_of("potential", fetched=True),
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


rule ingest:
    """Read labelled geometries from their original file, convert the units once, and store them flat."""
    input:
        source="results/data/{dataset}/source.json",
    output:
        geometries=update("results/data/{dataset}/geometries.json"),
    log:
        "logs/data/{dataset}/ingest.log",
    benchmark:
        "logs/data/{dataset}/ingest.tsv"
    wildcard_constraints:
        dataset=datasets_of("potential", fetched=True),
    priority: 100  # everything of its arm waits for it
    conda:
        ENVIRONMENT
    resources:
        **on_cpu(mem_mb=ingest_memory, runtime=240),
    params:
        directory=subpath(input.source, parent=True),
    shell:
        r"""
        chemscale ingest {params.directory:q} &>{log:q}
        """
