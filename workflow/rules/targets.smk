"""What one asks for: snakemake data | training | fits | figures | report | all."""


localrules:
    all,
    data,
    training,
    fits,
    figures,
    report,


rule all:
    input:
        f"results/{config['study']}/report.html",
        figures_of_study,  # else one that was deleted would not be missed while the report is there


rule data:
    input:
        [dataset_path(arm) for arm in ARMS],
        stores_evaluated_on(),


rule training:
    input:
        RECORDS,


rule fits:
    input:
        [f"results/{config['study']}/fits/{arm}.json" for arm in ARMS],


rule figures:
    input:
        figures_of_study,


rule report:
    input:
        f"results/{config['study']}/report.html",
