"""chemscale: how chemical deep learning improves with model size, data and compute.

A study is one configuration file; config/config.yaml is the default one. Choose another with --configfile.
"""

from snakemake.utils import min_version

min_version("9.20")

# a study is whole in itself: given one, the default must not be merged into it
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


wildcard_constraints:
    study=config["study"],
    arm="language|potential",
    family="[a-z0-9-]+",
    size="[a-z0-9-]+",
    data="[0-9]+",
    seed="[0-9]+",


report: "workflow/report/workflow.rst"


# what is taken as it is has no rule that could make it anew: finished runs are not trained, cached tables not fitted
if config["results_source"] == "trained":

    include: "workflow/rules/molecules.smk"
    include: "workflow/rules/geometries.smk"
    include: "workflow/rules/training.smk"
    include: "workflow/rules/use.smk"


if config["results_source"] != "cached":

    include: "workflow/rules/scaling.smk"


include: "workflow/rules/figures.smk"
include: "workflow/rules/targets.smk"


workflow.default_target = "all"
