"""Training: learning rates tuned on small models, then one job per cell.

OUTPUTS: results/{study}/runs/<cell>/metrics.json, history.parquet, model.safetensors, settings.json
"""


rule tune:
    """Sweep learning rates over small models, stop most trials early by their training speed, and fit the rule."""
    input:
        data=data_of_arm,
    output:
        rates=update("results/{study}/tuning/{arm}/{family}.json"),
    log:
        "logs/{study}/tune/{arm}/{family}.log",
    benchmark:
        "logs/{study}/tune/{arm}/{family}.tsv"
    priority: 20  # trainings wait for it, and it waits for the data
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        **sweep_asks(),
    params:
        settings=sweep_settings,
    shell:
        r"""
        chemscale tune - --out {output.rates:q} --gpus {resources.gpu} <<<{params.settings:q} &>{log:q}
        """


rule train:
    """Train one cell to its own best validation loss and test it on data that chose nothing.

    Checkpoints lie in a folder that is no output, so that Snakemake keeps them and a killed training goes on from them.
    Outputs are kept (`update`) until their successors are whole: a job that finds its record finished ends at once.
    Retries belong in profiles: as a directive they would nest under Slurm.
    """
    input:
        data=data_of_arm,
        rates=cell_tuning,
    output:
        metrics=update(f"{RUN}/metrics.json"),
        history=update(f"{RUN}/history.parquet"),
        model=update(f"{RUN}/model.safetensors"),
        settings=update(f"{RUN}/settings.json"),
    log:
        f"logs/{{study}}/train/{CELL}.log",
    benchmark:
        f"logs/{{study}}/train/{CELL}.tsv"
    priority: cell_priority
    group:
        pack
    conda:
        ENVIRONMENT
    threads: ranks
    resources:
        **train_asks(),
    params:
        settings=cell_settings,
        record=subpath(output.metrics, parent=True),
        checkpoints=f"results/{{study}}/checkpoints/{CELL}",
    shell:
        r"""
        chemscale train - --out {params.record:q} --checkpoints {params.checkpoints:q} --gpus {resources.gpu} \
            <<<{params.settings:q} &>{log:q}
        """
