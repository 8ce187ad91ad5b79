"""Training: learning rates found at the cheap end, then one job for every cell.

OUTPUTS: results/{study}/runs/<cell>/metrics.json, history.parquet, model.safetensors, settings.json
"""


rule tune:
    """Sweep learning rates over small models, stop most by their training speed estimate, fit the rule."""
    input:
        data=data_of_arm,
    output:
        rates="results/{study}/tuning/{arm}/{family}.json",
    log:
        "logs/{study}/tune/{arm}/{family}.log",
    benchmark:
        "logs/{study}/tune/{arm}/{family}.tsv"
    priority: 20  # trainings wait for it; two of them are less than one encoding on both cores
    conda:
        "../../envs/chemscale.yaml"
    threads: 1
    resources:
        mem_mb=sweep_memory,
        runtime=sweep_runtime,
        gpu=sweep_gpu,
    params:
        settings=sweep_settings,
    shell:
        r"""
        chemscale tune - --out {output.rates:q} --gpus {resources.gpu} <<<{params.settings:q} &>{log:q}
        """


rule train:
    """Train one cell to its own best validation loss and test it on data that chose nothing.

    The state lies in a directory Snakemake does not know, so that a killed training goes on where it was.
    Retries belong into profiles: as a directive they would nest under Slurm.
    """
    input:
        data=data_of_arm,
        rates=cell_tuning,
    output:
        metrics="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/metrics.json",
        history="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/history.parquet",
        model="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/model.safetensors",
        settings="results/{study}/runs/{arm}/{family}/{size}/{data}/seed{seed}/settings.json",
    log:
        "logs/{study}/train/{arm}/{family}/{size}/{data}/seed{seed}.log",
    benchmark:
        "logs/{study}/train/{arm}/{family}/{size}/{data}/seed{seed}.tsv"
    priority: cell_priority
    conda:
        "../../envs/chemscale.yaml"
    threads: 1
    resources:
        mem_mb=cell_memory,
        runtime=cell_runtime,
        gpu=cell_gpu,
    params:
        settings=cell_settings,
        record=subpath(output.metrics, parent=True),
        checkpoints="results/{study}/checkpoints/{arm}/{family}/{size}/{data}/seed{seed}",
    shell:
        r"""
        chemscale train - --out {params.record:q} --checkpoints {params.checkpoints:q} --gpus {resources.gpu} \
            <<<{params.settings:q} &>{log:q}
        """
