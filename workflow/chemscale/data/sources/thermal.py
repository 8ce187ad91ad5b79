"""Geometries made here: molecules displaced as by heat, labelled with GFN2-xTB (`chemscale label`)."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from chemscale.data.entries import GeometryEntry, Source
from chemscale.typed import Count, NonNegative, key, wrong


def _low_to_high(values: list) -> list:
    if values[0] > values[1]:
        raise wrong(f"the lowest comes first; write {values[::-1]}")
    return values


class ThermalGeometries(GeometryEntry):
    """Geometries made and labelled here, of molecules of elements that MMFF94 knows.

    The molecules are `smiles`, or those of the file at `path`, or the first `molecules` CHNO molecules of RDKit's NCI
    file that have `min_heavy_atoms` to `max_heavy_atoms` heavy atoms.
    """

    smiles: Annotated[list[str], Field(min_length=1)] | None = key("molecules to make geometries of", None)
    path: str | None = key("file of molecules to make geometries of", None)
    format: Literal["lines", "csv", "parquet"] | None = key("format of that file; left out, the suffix tells", None)
    column: str | None = key("its column of SMILES; left out, found by name or content", None)
    molecules: Count | None = key("use only the first so many molecules; needed for those of NCI", None)
    min_heavy_atoms: Count = key("fewest heavy atoms of NCI's molecules", 1)
    max_heavy_atoms: Count | None = key("most heavy atoms of NCI's molecules; needed for them", None)
    conformers: Count = key("most conformers per molecule; geometries are spread evenly over them")
    geometries_per_molecule: Count = key("geometries per molecule")
    temperature: Annotated[list[NonNegative], Field(min_length=2, max_length=2), AfterValidator(_low_to_high)] = key(
        "lowest and highest temperature, drawn evenly", unit="K"
    )
    charge: Literal["smiles"] | None = key(
        "smiles = ions and radicals too, with the charge and the radical electrons of their SMILES; left out, they are "
        "failures",
        None,
    )
    displacement: Literal["normal_modes", "langevin"] = key(
        "from the minimum: along normal modes, or by Langevin dynamics in a heat bath", "normal_modes"
    )

    @classmethod
    def depends(cls, entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Also yield what is needed to choose molecules where none are given."""
        yield from super().depends(entry)
        for name in ("molecules", "max_heavy_atoms"):
            if not {"smiles", "path", name} & set(entry):
                yield name, "missing; add it, or give molecules by smiles or path"


THERMAL = Source("thermal", {"potential": ThermalGeometries}, None)
