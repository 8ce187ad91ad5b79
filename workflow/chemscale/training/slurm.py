"""A training as a job of Slurm: when it must stop by itself, and how it is requeued without using up a retry.

A job that is preempted with grace gets SIGTERM. If it then exits, Slurm sees a failed job, which it does not requeue,
and Snakemake counts a failed attempt. So a training that was told to stop while its job still runs asks Slurm to
requeue the job. Snakemake sees a pending job and waits. A job that a user cancelled is no longer running, and ends.
"""

import logging
import os
import re
import subprocess
import time
from datetime import datetime

LOG = logging.getLogger(__name__)

SECONDS_BEFORE_LIMIT = 60  # a training stops by itself this long before its job's time limit
LARGEST_SHARE_BEFORE_LIMIT = 0.1  # but not earlier than this share of the time that is left at its start
SECONDS_TO_BE_KILLED = 120  # Slurm ends a requeued job within KillWait, 30 s by default
SECONDS_PER_CALL = 30


def stop_time() -> float | None:
    """Return the time (Unix seconds) at which this process should save and stop; None outside Slurm or without a limit.

    It lies shortly before the time limit of the job, so that the training goes on in a job requeued by `requeue`
    instead of being killed and charged with a failed attempt.
    """
    end = re.search(r"\bEndTime=(\S+)", _show_job())
    if not end or end[1] in ("Unknown", "None", "NONE"):
        return None
    limit, now = datetime.fromisoformat(end[1]).timestamp(), time.time()
    return limit - min(SECONDS_BEFORE_LIMIT, LARGEST_SHARE_BEFORE_LIMIT * (limit - now))


def requeue() -> None:
    """Requeue this job and wait until Slurm ends it; return at once if it cannot be requeued.

    Nothing is asked outside Slurm, for a job that is no longer running since its user cancelled it, and for a job that
    may not be requeued (`sbatch --no-requeue`).
    """
    if os.environ.get("SLURM_PROCID", "0") != "0":
        return  # one rank of a training speaks for all
    shown = _show_job()
    if not re.search(r"\bJobState=RUNNING\b", shown) or re.search(r"\bRequeue=0\b", shown):
        return
    job = os.environ["SLURM_JOB_ID"]
    done = _call("scontrol", "requeue", job)
    if done is None or done.returncode:
        LOG.warning(f"Slurm does not requeue job {job}: {done.stderr.strip() if done else 'no answer from scontrol'}")
        return
    LOG.info(f"job {job} goes back into the queue and continues from its checkpoint")
    time.sleep(SECONDS_TO_BE_KILLED)


def _show_job() -> str:
    """Return what Slurm says of the job of this process; nothing outside Slurm."""
    job = os.environ.get("SLURM_JOB_ID")
    done = _call("scontrol", "show", "job", "-o", job) if job else None
    return done.stdout if done else ""


def _call(*command: str) -> subprocess.CompletedProcess | None:
    """Run a command of Slurm; None where there is no such command or no answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_PER_CALL)
    except (OSError, subprocess.TimeoutExpired):
        return None
