"""Figures and report, from tables and fits alone: nothing is trained or fitted here.

OUTPUTS: results/{study}/figures/*.svg, .png and .csv, the executed notebooks beside them, results/{study}/report.html
"""


rule draw_language:
    """Loss of the language models against data and against model size, with the fitted laws."""
    input:
        notebook=f"{WORKFLOW}/notebooks/language.ipynb",
        runs=f"{TABLES}/runs.parquet",
        fits="results/{study}/fits/language.json",
    output:
        notebook="results/{study}/figures/language.ipynb",
        data=drawn("language-data.svg", "Language", "Loss against data, per model size"),
        size=drawn("language-size.svg", "Language", "Loss against model size, per data size"),
    log:
        "logs/{study}/draw/language.log",
    benchmark:
        "logs/{study}/draw/language.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        notebook=notebook_parameters,
    shell:
        r"""
        papermill {input.notebook:q} {output.notebook:q} --no-progress-bar {params.notebook} &>{log:q}
        """


# quality of the molecules that language models generate, against data and model size
use rule draw_language as draw_generation with:
    input:
        notebook=f"{WORKFLOW}/notebooks/generation.ipynb",
        runs=f"{TABLES}/runs.parquet",
    output:
        notebook="results/{study}/figures/generation.ipynb",
        generation=drawn("generation.svg", "Language", "Generated molecules, per model size"),
    log:
        "logs/{study}/draw/generation.log",
    benchmark:
        "logs/{study}/draw/generation.tsv"


# force error of the neural force fields against data, per family and capacity, with the fitted laws
use rule draw_language as draw_potential with:
    input:
        notebook=f"{WORKFLOW}/notebooks/potential.ipynb",
        runs=f"{TABLES}/runs.parquet",
        fits="results/{study}/fits/potential.json",
    output:
        notebook="results/{study}/figures/potential.ipynb",
        data=drawn("potential-data.svg", "Potential", "Force error against data, per family and capacity"),
        unseen=drawn("potential-unseen.svg", "Potential", "Force error on molecules never trained on"),
    log:
        "logs/{study}/draw/potential.log",
    benchmark:
        "logs/{study}/draw/potential.tsv"


# quality of dynamics and minima of the potentials, against data
use rule draw_language as draw_dynamics with:
    input:
        notebook=f"{WORKFLOW}/notebooks/dynamics.ipynb",
        runs=f"{TABLES}/runs.parquet",
    output:
        notebook="results/{study}/figures/dynamics.ipynb",
        dynamics=drawn("dynamics.svg", "Potential", "Dynamics and minima, per family and capacity"),
    log:
        "logs/{study}/draw/dynamics.log",
    benchmark:
        "logs/{study}/draw/dynamics.tsv"


# force error against data, on the test structures and on every other dataset evaluated on
use rule draw_language as draw_transfer with:
    input:
        notebook=f"{WORKFLOW}/notebooks/transfer.ipynb",
        runs=f"{TABLES}/runs.parquet",
    output:
        notebook="results/{study}/figures/transfer.ipynb",
        transfer=drawn("transfer.svg", "Potential", "Force error in and out of distribution"),
    log:
        "logs/{study}/draw/transfer.log",
    benchmark:
        "logs/{study}/draw/transfer.tsv"


# training curves of every cell, and the sweeps for the learning rates
use rule draw_language as draw_training with:
    input:
        notebook=f"{WORKFLOW}/notebooks/training.ipynb",
        runs=f"{TABLES}/runs.parquet",
        histories=f"{TABLES}/histories.parquet",
        sweeps=f"{TABLES}/sweeps.parquet",
        datasets=f"{TABLES}/datasets.csv",
    output:
        notebook="results/{study}/figures/training.ipynb",
        datasets=drawn("datasets.csv", "Training", "Datasets, their splits and their units"),
        curves=drawn("training-curves.svg", "Training", "Training curves of every cell"),
        rates=drawn("learning-rates.svg", "Training", "Learning rates: sweeps and rule"),
        estimation=drawn("performance-estimation.svg", "Training", "Final losses predicted from early losses"),
    log:
        "logs/{study}/draw/training.log",
    benchmark:
        "logs/{study}/draw/training.tsv"


# forecasts of the largest cells, exponents under every analysis choice, the compute frontier, and all numbers
use rule draw_language as draw_scaling with:
    input:
        notebook=f"{WORKFLOW}/notebooks/scaling.ipynb",
        runs=f"{TABLES}/runs.parquet",
        fits=[f"results/{{study}}/fits/{arm}.json" for arm in ARMS],
    output:
        notebook="results/{study}/figures/scaling.ipynb",
        forecast=drawn("forecast.svg", "Scaling laws", "Forecast against held-out cells"),
        conventions=drawn("conventions.svg", "Scaling laws", "Exponents under every analysis choice"),
        compute_frontier=drawn("compute-frontier.svg", "Scaling laws", "Loss against compute"),
        surfaces=drawn("surfaces.svg", "Scaling laws", "Loss over model size and data"),
        families_matched=drawn("families-matched.svg", "Scaling laws", "Families at matched parameters and compute"),
        ladder=drawn("ladder.svg", "Scaling laws", "The ladder of symmetry"),
        exponents=drawn("exponents.csv", "Scaling laws", "Exponents with intervals"),
        judgements=drawn("judgements.csv", "Scaling laws", "Form, regime and analysis choices of every curve"),
        comparisons=drawn("comparisons.csv", "Scaling laws", "Families compared"),
        ladder_table=drawn("ladder.csv", "Scaling laws", "The ladder of symmetry: exponents and data saved"),
        next_cells=drawn("next-cells.csv", "Scaling laws", "What to train next"),
    log:
        "logs/{study}/draw/scaling.log",
    benchmark:
        "logs/{study}/draw/scaling.tsv"


rule write_first_page:
    """What the study found, in sentences: the first page of the report."""
    input:
        runs=f"{TABLES}/runs.parquet",
        sweeps=f"{TABLES}/sweeps.parquet",
        fits=[f"results/{{study}}/fits/{arm}.json" for arm in ARMS],
        figures=[f"results/{{study}}/figures/{arm}-data.svg" for arm in ARMS],
    output:
        page="results/{study}/figures/first-page.rst",
    log:
        "logs/{study}/first-page.log",
    benchmark:
        "logs/{study}/first-page.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        figures=[f"--figure results/{config['study']}/figures/{arm}-data.png" for arm in ARMS],
    shell:
        r"""
        chemscale first-page {input.runs:q} {input.fits:q} --sweeps {input.sweeps:q} --study {wildcards.study:q} \
            --out {output.page:q} {params.figures} &>{log:q}
        """


rule write_report:
    """One HTML with every figure, table and run time, which opens without a network."""
    input:
        drawn=figures_of_study,
        page="results/{study}/figures/first-page.rst",
    output:
        html="results/{study}/report.html",
    log:
        "logs/{study}/report.log",
    benchmark:
        "logs/{study}/report.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        snakefile=os.path.relpath(workflow.main_snakefile),
        configuration=configuration_arguments,
    shell:
        r"""
        snakemake {input.drawn:q} --snakefile {params.snakefile:q} {params.configuration:q} --report {output.html:q} &>{log:q}
        """
