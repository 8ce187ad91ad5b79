"""Targets: snakemake data | training | fits | figures | report | all."""


rule all:
    input:
        f"{RESULTS}/report.html",
        figures_of_study,  # else a deleted figure would not be missed while the report exists


rule data:
    input:
        [dataset_path(arm) for arm in ARMS],
        stores_evaluated_on(),


rule training:
    input:
        RECORDS,


rule fits:
    input:
        [f"{RESULTS}/fits/{arm}.json" for arm in ARMS],


rule figures:
    input:
        figures_of_study,


rule report:
    input:
        f"{RESULTS}/report.html",
