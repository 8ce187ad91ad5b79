"""Where the verbs of the command line are found."""

import os
import sys
from pathlib import Path


def put_verbs_on_path() -> None:
    """Let `chemscale`, `papermill` and `snakemake` be found beside the Python that runs, activated or not."""
    beside = str(Path(sys.executable).parent)
    if beside not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = beside + os.pathsep + os.environ["PATH"]
