"""Commands that make datasets."""

from typing import Annotated

from typer import Argument

from chemscale.cli.app import Dataset, OutFolder, Settings, Workers, command, read_settings
from chemscale.files import read_json, require_paths
from chemscale.processes import one_thread


@command("Data")
def fetch(name: Annotated[str, Argument(help="Name of the dataset.")], settings: Settings, out: OutFolder) -> None:
    """Download the raw file of a dataset, or find it on this machine, and check it."""
    from chemscale.data.sources import fetch

    fetch(name, read_settings(settings), out)


@command("Data")
def encode(directory: Dataset, workers: Workers = 1) -> None:
    """Translate the fetched molecules of a dataset into SELFIES tokens."""
    require_paths(directory)
    from chemscale.molecules.corpus import encode

    encode(directory, workers)


@command("Data")
def label(
    name: Annotated[str, Argument(help="Name of the dataset.")],
    settings: Settings,
    out: OutFolder,
    workers: Workers = 1,
) -> None:
    """Make geometries of molecules and label them with energies and forces by GFN2-xTB."""
    entry = read_settings(settings)
    one_thread()
    from chemscale.data.sources import require_valid

    require_valid(name, entry)
    from chemscale.geometries.labels import label

    label(name, entry, out, workers)


@command("Data")
def ingest(directory: Dataset) -> None:
    """Convert the fetched geometries of a dataset, labelled with energies and forces, into a geometry store."""
    source = read_json(directory / "source.json")
    from chemscale.geometries.ingest import ingest

    ingest(source["name"], source["entry"], directory / source["file"], directory, source["sha256"])
