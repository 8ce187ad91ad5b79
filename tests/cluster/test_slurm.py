"""`snakemake --profile slurm` on a real Slurm: preempted, requeued, cancelled or out of time, a cell loses nothing."""

import os
import signal

import pytest
import yaml
from helpers.slurm import CELL, Head

from chemscale.files import read_json, read_table

pytestmark = pytest.mark.slurm
URGENT = ("sbatch", "--parsable", "-p", "urgent", "-N2", "-n8", "--mem=1000", "-o", "/dev/null", "--wrap", "sleep 2")


@pytest.fixture(scope="session")
def undisturbed(make_head) -> dict[str, float]:
    """Metrics of the cell trained through Slurm without a disturbance."""
    head = make_head()
    head.start("training")
    head.finish()
    return metrics(head)


def metrics(head: Head) -> dict[str, float]:
    """The losses of the finished cell, which must not depend on what happened to its job."""
    record = read_json(head.directory / "results/cluster/runs" / CELL / "metrics.json")
    return {key: record[key] for key in ("test_loss", "validation_loss", "steps")}


def attempts(head: Head) -> int:
    return read_json(head.directory / "results/cluster/runs" / CELL / "metrics.json")["attempts"]


def test_a_study_runs_to_its_fits(make_head):
    head = make_head()
    head.start("fits")
    head.finish()
    table = read_table(head.directory / "results/cluster/tables/runs.parquet")
    assert table["status"].eq("finished").all()
    (job,) = head.train_jobs()
    assert job["TimeLimit"] == "00:10:00" and job["Requeue"] == "1" and job["Partition"] == "cpu"


@pytest.mark.parametrize("partition", ["cpu", "spot"], ids=["requeue", "cancel"])
def test_a_preempted_cell_goes_on_without_a_retry(head, undisturbed, partition):
    head.start("training", "--retries", "0", partition=partition)
    job = head.wait_for_checkpoint()
    head.cluster.call(*URGENT)
    head.finish()
    assert [one["JobId"] for one in head.train_jobs()] == [job["JobId"]]
    assert head.train_jobs()[0]["Restarts"] == "1" and attempts(head) == 2
    assert metrics(head) == undisturbed


def test_a_requeued_cell_goes_on_without_a_retry(head, undisturbed):
    head.start("training", "--retries", "0")
    job = head.wait_for_checkpoint()
    head.cluster.call("scontrol", "requeue", job["JobId"])
    head.finish()
    assert attempts(head) == 2 and metrics(head) == undisturbed


def test_a_lost_node_costs_no_retry(head, undisturbed):
    head.start("training", "--retries", "0")
    job = head.wait_for_checkpoint()
    node = job["NodeList"]
    head.cluster.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        head.finish()
    finally:
        head.cluster.call("scontrol", "update", f"nodename={node}", "state=resume", check=False)
    assert attempts(head) == 2 and metrics(head) == undisturbed


def test_a_cell_that_runs_out_of_time_goes_on_without_a_retry(make_head):
    head = make_head(steps=40000)
    head.start("training", "--retries", "0", "--set-resources", "train:runtime=1")
    head.finish(900)
    (job,) = head.train_jobs()
    assert int(job["Restarts"]) >= 1 and job["TimeLimit"] == "00:01:00"
    assert attempts(head) == 1 + int(job["Restarts"]) and metrics(head)["steps"] == 40000


def test_small_cells_share_a_job(make_head):
    head = make_head(steps=200)
    head.pack_minutes = 30
    study = yaml.safe_load((head.directory / "cluster.yaml").read_text())
    study["language"]["data"] = [200, 600, 1800]
    (head.directory / "cluster.yaml").write_text(yaml.safe_dump(study))
    head.start("training", "--retries", "0")
    head.finish()
    runs = head.directory / "results/cluster/runs/language/chemgpt-slim/w8"
    records = [read_json(path) for path in runs.glob("*/seed0/metrics.json")]
    assert sorted(record["data"] for record in records) == [200, 600, 1800]
    assert all(record["status"] == "finished" and record["attempts"] == 1 for record in records)
    (job,) = head.train_jobs()
    assert "pack-language-chemgpt-slim-0" in job["Comment"] and job["NumCPUs"] == "1", "one at a time"
    assert job["TimeLimit"] == "00:16:00", "10 minutes as any job, and 2 for each cell"


def test_a_cancelled_cell_is_retried_once(head, undisturbed):
    head.start("training", "--retries", "1")
    first = head.wait_for_checkpoint()
    head.cluster.call("scancel", first["JobId"])
    head.finish()
    jobs = head.train_jobs()
    assert len(jobs) == 2 and jobs[1]["MinMemoryNode"] == first["MinMemoryNode"]
    assert attempts(head) == 2 and metrics(head) == undisturbed


def test_a_head_that_was_killed_is_started_again(head, undisturbed):
    head.start("training")
    job = head.wait_for_checkpoint()
    os.killpg(head.process.pid, signal.SIGKILL)
    head.process.wait()
    head.start("--unlock")
    head.finish(60)
    head.cluster.call("scancel", "--name", job["JobName"])
    head.start("training")
    head.finish()
    assert metrics(head) == undisturbed and attempts(head) == 2
