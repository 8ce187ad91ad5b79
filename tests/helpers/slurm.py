"""A real Slurm on this machine: one controller and two nodes from Debian's packages, on the loopback only.

Authentication is `none`, so it must never listen elsewhere. GPUs are copies of /dev/null: Slurm counts and
assigns them, and sets CUDA_VISIBLE_DEVICES, but nothing can compute on them.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

NODES = ("n1", "n2")
GPUS_PER_NODE = 2
SECONDS_TO_START = 30
LINK = Path("/etc/slurm/slurm.conf")  # where clients look once Snakemake's job step has dropped SLURM_CONF

CELL = "language/chemgpt-slim/w8/600/seed0"
CONFIGURATION = """
ClusterName=chemscale
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=20
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
JobAcctGatherFrequency=task=1
KillWait=10
MinJobAge=86400
MailProg=/bin/true
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={root}/jobcomp.txt
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=4 RealMemory=16000 Gres=gpu:{gpus}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=1-00:00:00 DefaultTime=00:10:00 PriorityTier=1 GraceTime=10
PartitionName=spot Nodes=ALL MaxTime=1-00:00:00 DefaultTime=00:10:00 PriorityTier=1 PreemptMode=CANCEL GraceTime=10
PartitionName=gpu Nodes=ALL MaxTime=1-00:00:00 DefaultTime=00:10:00 PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=00:30:00 DefaultTime=00:01:00 PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str | None:
    """Return why no Slurm can be started here, or None."""
    if os.geteuid() != 0:
        return "a Slurm of one's own needs root (devices, /etc/slurm)"
    if absent := [name for name in ("slurmctld", "slurmd", "sbatch", "scontrol", "squeue") if not shutil.which(name)]:
        return f"{', '.join(absent)} not found; install slurmctld, slurmd and slurm-client"
    if LINK.exists() and not LINK.is_symlink():
        return f"{LINK} belongs to another Slurm"
    return None


@dataclass(frozen=True)
class Cluster:
    """A running Slurm: where its files lie, and the environment in which its clients find it."""

    root: Path
    environment: dict[str, str]

    def call(self, *command: str, check: bool = True) -> str:
        """Return the output of a command of Slurm."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def job(self, number: int | str) -> dict[str, str]:
        """Return what `scontrol show job` says of a job, empty once Slurm has forgotten it."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.call("scontrol", "show", "job", "-o", str(number), check=False)))

    def jobs(self) -> dict[str, dict[str, str]]:
        """Return all jobs by number."""
        lines = self.call("scontrol", "show", "job", "-o", check=False).splitlines()
        found = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines]
        return {job["JobId"]: job for job in found if "JobId" in job}

    def wait(self, condition, seconds: float = 60, what: str = "the condition"):
        """Return the first truthy value of `condition()`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := condition():
                return value
            time.sleep(0.2)
        raise AssertionError(f"{what} did not come within {seconds:.0f} s\n{self.call('squeue', '--all')}")


def study(steps: int) -> dict:
    """Return the configuration of a study of one small cell that trains `steps` steps."""
    training = {"batch_tokens": 400, "evaluations": 5, "patience": 5}
    training["steps"] = {"per_sqrt_example": 0, "epochs": 0, "minimum": steps, "maximum": steps}
    families = {"chemgpt-slim": {"widths": [8], "learning_rate": 0.01}}
    language = {"dataset": "nci-small", "families": families, "data": [600], "training": training}
    language["seeds"] = {"small_half": 1, "large_half": 1}
    return {"study": "cluster", "language": language, "scaling": {"draws": 100}}


@dataclass
class Head:
    """`snakemake --profile slurm` in a clone: the process on the head node of the cluster."""

    directory: Path
    cluster: Cluster
    process: subprocess.Popen | None = None
    pack_minutes: int = 0  # a job per cell

    def start(self, *arguments: str, partition: str = "cpu") -> None:
        """Type `snakemake --profile slurm` from the top of the clone, with arguments after the target."""
        resources = [f"slurm_partition={partition}", "slurm_account=test", "mem_mb=2000", "runtime=10"]
        command = ["snakemake", *arguments, "--profile", "slurm", "--configfile", "cluster.yaml"]
        command += ["--default-resources", *resources]
        command += ["--latency-wait", "10", "--slurm-init-seconds-before-status-checks", "2"]
        paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
        environment = self.cluster.environment | {"PATH": os.pathsep.join(paths)}
        environment |= {"PYTHONPATH": str(self.directory / "workflow"), "CHEMSCALE_SITE": "site.yaml"}
        if not (self.directory / "site.yaml").exists():
            (self.directory / "site.yaml").write_text(f"pack_minutes: {self.pack_minutes}\n")
        with open(self.directory / "output", "a") as output:
            self.process = subprocess.Popen(
                command, cwd=self.directory, env=environment, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def output(self) -> str:
        """What Snakemake has said."""
        return (self.directory / "output").read_text()

    def train_jobs(self) -> list[dict[str, str]]:
        """The jobs submitted for trainings of this clone, in order."""
        jobs = self.cluster.jobs().values()
        here = [job for job in jobs if job.get("WorkDir", "") == str(self.directory)]
        trainings = [job for job in here if re.search("rule_train|rule_pack", job.get("Comment", ""))]
        return sorted(trainings, key=lambda job: int(job["JobId"]))

    def wait_for_checkpoint(self, seconds: float = 120) -> dict[str, str]:
        """Return the job of the training once it has saved its state."""
        state = self.directory / "results" / "cluster" / "checkpoints" / CELL

        def saved() -> bool:
            assert self.process.poll() is None, self.output
            return any(state.glob("step-*")) and bool(self.train_jobs())

        self.cluster.wait(saved, seconds, "a checkpoint")
        return self.train_jobs()[-1]

    def finish(self, seconds: float = 300) -> None:
        """Wait until Snakemake has ended without an error."""
        assert self.process.wait(timeout=seconds) == 0, self.output


def start(root: Path) -> Cluster:
    """Start a controller and two nodes with their files in `root`."""
    for folder in ("state", "dev", *(f"spool/{node}" for node in NODES)):
        (root / folder).mkdir(parents=True)
    port, first, last = _free_ports()
    host = socket.gethostname().split(".")[0]
    facts = {"root": root, "host": host, "port": port, "first": first, "last": last, "gpus": GPUS_PER_NODE}
    configuration = root / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(**facts))
    devices = [root / "dev" / f"nvidia{number}" for number in range(GPUS_PER_NODE)]
    for device in devices:
        os.mknod(device, 0o600 | 0o020000, os.makedev(1, 3))
    (root / "gres.conf").write_text(f"NodeName=n[1-2] Name=gpu File={root}/dev/nvidia[0-{GPUS_PER_NODE - 1}]\n")
    LINK.parent.mkdir(parents=True, exist_ok=True)
    LINK.unlink(missing_ok=True)
    LINK.symlink_to(configuration)
    hosts = Path("/etc/hosts")
    if not re.search(r"\bn1\b", hosts.read_text()):  # ranks of one training find each other by name
        with hosts.open("a") as file:
            file.write(f"127.0.0.1 {' '.join(NODES)}\n")
    cluster = Cluster(root, os.environ | {"SLURM_CONF": str(configuration)})
    subprocess.run(["slurmctld", "-f", configuration], env=cluster.environment, check=True)
    cluster.wait(lambda: "is UP" in cluster.call("scontrol", "ping", check=False), SECONDS_TO_START, "the controller")
    for node in NODES:
        subprocess.run(["slurmd", "-f", configuration, "-N", node], env=cluster.environment, check=True)
    idle = lambda: cluster.call("sinfo", "-h", "-N", "-p", "cpu", "-t", "idle").count("\n") == len(NODES)  # noqa: E731
    cluster.wait(idle, SECONDS_TO_START, "an idle node")
    return cluster


def stop(cluster: Cluster) -> None:
    """End all jobs and daemons, by process id."""
    cluster.call("scancel", "--full", "--signal=KILL", "--user=root", check=False)
    for name in (*(f"slurmd-{node}.pid" for node in NODES), "slurmctld.pid"):
        file = cluster.root / name
        if not file.exists():
            continue
        process = int(file.read_text())
        os.kill(process, signal.SIGTERM)
        end = time.monotonic() + 10
        while file.exists() and time.monotonic() < end:
            time.sleep(0.1)
        if file.exists():
            os.kill(process, signal.SIGKILL)
    LINK.unlink(missing_ok=True)


def _free_ports() -> tuple[int, int, int]:
    """Return a port for the controller and two successive ones for the nodes."""
    for first in range(16900, 17900, 3):
        ports = (first, first + 1, first + 2)
        with_sockets = [socket.socket() for _ in ports]
        try:
            for port, connection in zip(ports, with_sockets, strict=True):
                connection.bind(("127.0.0.1", port))
            return ports
        except OSError:
            continue
        finally:
            for connection in with_sockets:
                connection.close()
    raise AssertionError("no three free ports in a row on the loopback")
