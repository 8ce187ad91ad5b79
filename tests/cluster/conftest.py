"""A Slurm for the whole session, and clones in which the literal `snakemake --profile slurm` is typed."""

import subprocess
from collections.abc import Callable, Iterator

import pytest
import yaml
from helpers import slurm
from helpers.clones import make_clone


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[slurm.Cluster]:
    """A running Slurm with two nodes, or a skip that says why there is none."""
    if reason := slurm.missing():
        pytest.skip(reason)
    running = slurm.start(tmp_path_factory.mktemp("slurm"))
    yield running
    slurm.stop(running)


@pytest.fixture(scope="session")
def make_head(checkout, cluster, tmp_path_factory) -> Iterator[Callable[..., slurm.Head]]:
    """A function that makes a head node: a clone with a corpus, encoded once through Slurm, and a study of one cell."""
    heads: list[slurm.Head] = []

    def clone(steps: int) -> slurm.Head:
        directory = make_clone(checkout, tmp_path_factory.mktemp("clone"))
        (directory / "cluster.yaml").write_text(yaml.safe_dump(slurm.study(steps)))
        rules = directory / "workflow" / "rules" / "training.smk"
        rules.write_text(rules.read_text().replace("chemscale train -", "chemscale train - --checkpoint-seconds 1"))
        heads.append(slurm.Head(directory, cluster))
        return heads[-1]

    first = clone(steps=1)
    first.start("data")
    first.finish()

    def make(steps: int = 4000) -> slurm.Head:
        head = clone(steps)
        subprocess.run(["cp", "-a", first.directory / "results/data", head.directory / "results/data"], check=True)
        return head

    yield make
    for head in heads:
        if head.process and head.process.poll() is None:
            head.process.kill()


@pytest.fixture
def head(make_head, cluster) -> Iterator[slurm.Head]:
    """A head node whose jobs end with the test."""
    made = make_head()
    yield made
    for job in made.train_jobs():
        cluster.call("scancel", job["JobId"], check=False)
