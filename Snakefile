"""chemscale: how chemical deep learning improves with model size, data and compute.

A study is one configuration file; config/config.yaml is the default one. Choose another with --configfile.
"""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")

# a study is complete in itself: given one, the default must not be merged into it
if not workflow.overwrite_configfiles:
    # that of the working directory, or else the one beside this file
    beside = workflow.current_basedir.join("config/config.yaml").get_path_or_uri(secret_free=True)

    configfile: "config/config.yaml" if Path("config/config.yaml").exists() else beside


include: "workflow/rules/common.smk"


wildcard_constraints:
    study=config["study"],
    arm="|".join(arms.ARMS),
    family="[a-z0-9-]+",
    size="[a-z0-9-]+",
    data="[0-9]+",
    seed="[0-9]+",


report: first_page_of_report()


# results that are taken as they are have no rule: finished runs are not trained, cached tables not fitted
if config["results_source"] == "trained":

    include: "workflow/rules/molecules.smk"
    include: "workflow/rules/geometries.smk"
    include: "workflow/rules/training.smk"
    include: "workflow/rules/generation.smk"
    include: "workflow/rules/simulation.smk"


if config["results_source"] != "cached":

    include: "workflow/rules/scaling.smk"


include: "workflow/rules/figures.smk"
include: "workflow/rules/targets.smk"


make_default("all")
