"""Export of trained models to the formats of other tools: Hugging Face transformers and ASE."""

from pathlib import Path

from chemscale.errors import ChemscaleError
from chemscale.files import read_json

TARGETS = ("hf", "ase")


def export(path: Path | str, to: str, out: Path | str) -> None:
    """Write the trained model of the record `path` into the folder `out`, in the format `to`, one of `TARGETS`.

    An earlier export in `out` is replaced; files of other origin beside it stay. Raises ChemscaleError for an unknown
    target, for a folder that holds anything but an export, and for a model that cannot be loaded.
    """
    path, out = Path(path), Path(out)
    if to not in TARGETS:
        raise ChemscaleError(f"--to {to}: unknown target; use one of {', '.join(TARGETS)}")
    _require_free(out)
    if to == "hf":
        from chemscale.export.transformers import export_hf

        export_hf(path, out)
    else:
        from chemscale.export.ase import export_ase

        export_ase(path, out)


def _require_free(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ChemscaleError(f"--out {out}: is a file; name a new folder")
    if out.is_dir() and any(out.iterdir()) and not _is_export(out):
        raise ChemscaleError(f"--out {out}: not empty and not an earlier export; name a new folder or empty this one")


def _is_export(out: Path) -> bool:
    path = out / "config.json"
    return path.is_file() and "chemscale" in read_json(path)
