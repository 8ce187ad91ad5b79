"""Limits and names of a cluster: account, partitions, limits of time and memory, and how fast its machines are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from chemscale.errors import ChemscaleError
from chemscale.files import read_yaml
from chemscale.typed import Count, Keys, NonNegative, Positive, key

ACCOUNT, PARTITION = "SBATCH_ACCOUNT", "SBATCH_PARTITION"  # as Slurm's own sbatch reads them
FILE = "CHEMSCALE_SITE"  # names another file than profiles/slurm/site.yaml


class Nodes(Keys):
    """The nodes of a kind, and the largest job that their partition takes."""

    partition: str | None = key("partition; left out, the cluster's default one", None)
    max_runtime: Count = key("longest time limit; longer trainings go on in a further job", 24 * 60, unit="minutes")
    max_mem_mb: Count | None = key("most memory of a job; left out, not limited", None, unit="MB")


class Site(Keys):
    """A cluster. All keys may be left out."""

    account: str | None = key("account that jobs are charged to; left out, the user's default one", None)
    cpu: Nodes = key("nodes for jobs without a GPU", Nodes)
    gpu: Nodes = key("nodes for jobs with GPUs", Nodes)
    pack_minutes: NonNegative = key(
        "time of the small cells that one job trains one after the other; 0 makes every cell a job", 30, unit="minutes"
    )
    calibration: dict[str, dict[Literal["cpu", "gpu"], Positive]] = key(
        "measured over estimated seconds by family and device, as `chemscale cost` prints them", {}
    )

    def nodes(self, gpus: int) -> Nodes:
        """Return the nodes that jobs with so many GPUs run on."""
        return self.gpu if gpus else self.cpu


def read_site(directory: Path, environment: Mapping[str, str]) -> Site:
    """Return the site: its file, which need not exist, and for what it leaves out the variables of sbatch.

    The file is the one that CHEMSCALE_SITE names, or profiles/slurm/site.yaml below `directory`. Raises ChemscaleError
    that names every wrong key of it.
    """
    path = directory / environment.get(FILE, "profiles/slurm/site.yaml")
    if FILE in environment and not path.is_file():
        raise ChemscaleError(f"{FILE} = {environment[FILE]}: no such file; correct the path or unset the variable")
    site = Site.from_json(read_yaml(path) if path.is_file() else {}, str(path))
    partition = environment.get(PARTITION)
    changes: dict[str, object] = {"account": site.account or environment.get(ACCOUNT)}
    for kind in ("cpu", "gpu"):
        nodes = getattr(site, kind)
        changes[kind] = nodes.replace(partition=nodes.partition or partition)
    return site.replace(**changes)
