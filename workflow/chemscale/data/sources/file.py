"""A file of your own, which stays where it is."""

from pathlib import Path

from chemscale.data.entries import GeometryFileEntry, MoleculeFileEntry, Source
from chemscale.errors import ChemscaleError
from chemscale.typed import Keys, key


class FileKeys(Keys):
    """The keys of a file of your own."""

    path: str = key("path of the file, from where Snakemake runs")


class MoleculeFile(FileKeys, MoleculeFileEntry):
    """Molecules in a file of your own: .smi, .txt, .csv, .tsv, .parquet or .sdf, also in .gz, or alone in .zip."""


class GeometryFile(FileKeys, GeometryFileEntry):
    """Labelled geometries in a file of your own, or in all files of a folder."""


def fetch(name: str, entry: FileKeys, directory: Path) -> Path:
    """Return the absolute path of the file; raise ChemscaleError if there is none."""
    path = Path(entry.path).expanduser().absolute()
    if not (path.is_file() or (path.is_dir() and isinstance(entry, GeometryFile))):
        raise ChemscaleError(f"{name}.path = {entry.path!r}: no such file ({path}); correct the path")
    return path


FILE = Source("file", {"language": MoleculeFile, "potential": GeometryFile}, fetch)
