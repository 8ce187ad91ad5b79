"""Figures and report, from tables and fits alone: nothing is trained or fitted here.

OUTPUTS: results/{study}/figures/*.svg and .png, the executed notebooks beside them, results/{study}/report.html
"""


rule draw_language:
    """Loss of the language models against data and against model size, with the fitted laws."""
    input:
        notebook="workflow/notebooks/language.ipynb",
        runs="results/{study}/tables/runs.parquet",
        fits="results/{study}/fits/language.json",
    output:
        notebook="results/{study}/figures/language.ipynb",
        data=report(
            "results/{study}/figures/language-data.svg",
            category="Language",
            caption="../report/language-data.rst",
            labels={"figure": "Loss against data, per model size"},
        ),
        size=report(
            "results/{study}/figures/language-size.svg",
            category="Language",
            caption="../report/language-size.rst",
            labels={"figure": "Loss against model size, per data size"},
        ),
    log:
        "logs/{study}/draw/language.log",
    benchmark:
        "logs/{study}/draw/language.tsv"
    localrule: True
    conda:
        "../../envs/chemscale.yaml"
    params:
        figures=subpath(output.notebook, parent=True),
    shell:
        r"""
        papermill {input.notebook:q} {output.notebook:q} --no-progress-bar \
            -p runs {input.runs:q} -p fits {input.fits:q} -p figures {params.figures:q} &>{log:q}
        """


rule draw_generation:
    """How good the language models' molecules are, against data and model size."""
    input:
        notebook="workflow/notebooks/generation.ipynb",
        runs="results/{study}/tables/runs.parquet",
    output:
        notebook="results/{study}/figures/generation.ipynb",
        generation=report(
            "results/{study}/figures/generation.svg",
            category="Language",
            caption="../report/generation.rst",
            labels={"figure": "Generated molecules, per model size"},
        ),
    log:
        "logs/{study}/draw/generation.log",
    benchmark:
        "logs/{study}/draw/generation.tsv"
    localrule: True
    conda:
        "../../envs/chemscale.yaml"
    params:
        figures=subpath(output.notebook, parent=True),
    shell:
        r"""
        papermill {input.notebook:q} {output.notebook:q} --no-progress-bar \
            -p runs {input.runs:q} -p figures {params.figures:q} &>{log:q}
        """


rule draw_potential:
    """Force error of the neural force fields against data, per family and capacity, with the fitted laws."""
    input:
        notebook="workflow/notebooks/potential.ipynb",
        runs="results/{study}/tables/runs.parquet",
        fits="results/{study}/fits/potential.json",
    output:
        notebook="results/{study}/figures/potential.ipynb",
        data=report(
            "results/{study}/figures/potential-data.svg",
            category="Potential",
            caption="../report/potential-data.rst",
            labels={"figure": "Force error against data, per family and capacity"},
        ),
        unseen=report(
            "results/{study}/figures/potential-unseen.svg",
            category="Potential",
            caption="../report/potential-unseen.rst",
            labels={"figure": "Force error on molecules never trained on"},
        ),
    log:
        "logs/{study}/draw/potential.log",
    benchmark:
        "logs/{study}/draw/potential.tsv"
    localrule: True
    conda:
        "../../envs/chemscale.yaml"
    params:
        figures=subpath(output.notebook, parent=True),
    shell:
        r"""
        papermill {input.notebook:q} {output.notebook:q} --no-progress-bar \
            -p runs {input.runs:q} -p fits {input.fits:q} -p figures {params.figures:q} &>{log:q}
        """


rule draw_dynamics:
    """How good dynamics and minima of the potentials are, against data."""
    input:
        notebook="workflow/notebooks/dynamics.ipynb",
        runs="results/{study}/tables/runs.parquet",
    output:
        notebook="results/{study}/figures/dynamics.ipynb",
        dynamics=report(
            "results/{study}/figures/dynamics.svg",
            category="Potential",
            caption="../report/dynamics.rst",
            labels={"figure": "Dynamics and minima, per family and capacity"},
        ),
    log:
        "logs/{study}/draw/dynamics.log",
    benchmark:
        "logs/{study}/draw/dynamics.tsv"
    localrule: True
    conda:
        "../../envs/chemscale.yaml"
    params:
        figures=subpath(output.notebook, parent=True),
    shell:
        r"""
        papermill {input.notebook:q} {output.notebook:q} --no-progress-bar \
            -p runs {input.runs:q} -p figures {params.figures:q} &>{log:q}
        """


rule draw_transfer:
    """Force error against data on the test structures and on every other dataset evaluated on."""
    input:
        notebook="workflow/notebooks/transfer.ipynb",
        runs="results/{study}/tables/runs.parquet",
    output:
        notebook="results/{study}/figures/transfer.ipynb",
        transfer=report(
            "results/{study}/figures/transfer.svg",
            category="Potential",
            caption="../report/transfer.rst",
            labels={"figure": "Force error in and out of distribution"},
        ),
    log:
        "logs/{study}/draw/transfer.log",
    benchmark:
        "logs/{study}/draw/transfer.tsv"
    localrule: True
    conda:
        "../../envs/chemscale.yaml"
    params:
        figures=subpath(output.notebook, parent=True),
    shell:
        r"""
        papermill {input.notebook:q} {output.notebook:q} --no-progress-bar \
            -p runs {input.runs:q} -p figures {params.figures:q} &>{log:q}
        """


rule draw_training:
    """Training curves of every cell, and the sweeps behind the learning rates."""
    input:
        notebook="workflow/notebooks/training.ipynb",
        runs="results/{study}/tables/runs.parquet",
        histories="results/{study}/tables/histories.parquet",
        sweeps="results/{study}/tables/sweeps.parquet",
    output:
        notebook="results/{study}/figures/training.ipynb",
        curves=report(
            "results/{study}/figures/training-curves.svg",
            category="Training",
            caption="../report/training-curves.rst",
            labels={"figure": "Training curves of every cell"},
        ),
        rates=report(
            "results/{study}/figures/learning-rates.svg",
            category="Training",
            caption="../report/learning-rates.rst",
            labels={"figure": "Learning rates: sweeps and rule"},
        ),
        estimation=report(
            "results/{study}/figures/performance-estimation.svg",
            category="Training",
            caption="../report/performance-estimation.rst",
            labels={"figure": "Training performance estimation: what early losses foretold"},
        ),
    log:
        "logs/{study}/draw/training.log",
    benchmark:
        "logs/{study}/draw/training.tsv"
    localrule: True
    conda:
        "../../envs/chemscale.yaml"
    params:
        figures=subpath(output.notebook, parent=True),
    shell:
        r"""
        papermill {input.notebook:q} {output.notebook:q} --no-progress-bar -p runs {input.runs:q} \
            -p histories {input.histories:q} -p sweeps {input.sweeps:q} -p figures {params.figures:q} &>{log:q}
        """


rule draw_scaling:
    """Forecasts of the largest cells, what conventions do to exponents, the compute frontier, and all numbers."""
    input:
        notebook="workflow/notebooks/scaling.ipynb",
        runs="results/{study}/tables/runs.parquet",
        fits=[f"results/{{study}}/fits/{arm}.json" for arm in ARMS],
    output:
        notebook="results/{study}/figures/scaling.ipynb",
        forecast=report(
            "results/{study}/figures/forecast.svg",
            category="Scaling laws",
            caption="../report/forecast.rst",
            labels={"figure": "Forecast against held-out cells"},
        ),
        conventions=report(
            "results/{study}/figures/conventions.svg",
            category="Scaling laws",
            caption="../report/conventions.rst",
            labels={"figure": "Exponents under every convention"},
        ),
        compute_frontier=report(
            "results/{study}/figures/compute-frontier.svg",
            category="Scaling laws",
            caption="../report/compute-frontier.rst",
            labels={"figure": "Loss against compute"},
        ),
        families_matched=report(
            "results/{study}/figures/families-matched.svg",
            category="Scaling laws",
            caption="../report/families-matched.rst",
            labels={"figure": "Families at matched parameters and compute"},
        ),
        exponents=report(
            "results/{study}/figures/exponents.csv",
            category="Scaling laws",
            caption="../report/exponents.rst",
            labels={"figure": "Exponents with intervals"},
        ),
        judgements=report(
            "results/{study}/figures/judgements.csv",
            category="Scaling laws",
            caption="../report/judgements.rst",
            labels={"figure": "Form, regime and conventions of every curve"},
        ),
        comparisons=report(
            "results/{study}/figures/comparisons.csv",
            category="Scaling laws",
            caption="../report/comparisons.rst",
            labels={"figure": "Families compared"},
        ),
        next_cells=report(
            "results/{study}/figures/next-cells.csv",
            category="Scaling laws",
            caption="../report/next-cells.rst",
            labels={"figure": "What to train next"},
        ),
    log:
        "logs/{study}/draw/scaling.log",
    benchmark:
        "logs/{study}/draw/scaling.tsv"
    localrule: True
    conda:
        "../../envs/chemscale.yaml"
    params:
        fits=lambda wildcards, input: " ".join(input.fits),
        figures=subpath(output.notebook, parent=True),
    shell:
        r"""
        papermill {input.notebook:q} {output.notebook:q} --no-progress-bar \
            -p runs {input.runs:q} -p fits {params.fits:q} -p figures {params.figures:q} &>{log:q}
        """


rule write_report:
    """One HTML with every figure, table and run time, which opens without a network."""
    input:
        figures_of_study,
    output:
        html="results/{study}/report.html",
    log:
        "logs/{study}/report.log",
    benchmark:
        "logs/{study}/report.tsv"
    localrule: True
    conda:
        "../../envs/chemscale.yaml"
    params:
        snakefile=workflow.main_snakefile,
        configuration=configuration_arguments,
    shell:
        r"""
        snakemake figures --snakefile {params.snakefile:q} {params.configuration:q} --report {output.html:q} &>{log:q}
        """
