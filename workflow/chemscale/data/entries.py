"""The keys of a dataset that several kinds of source share, and the record of a kind of source."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from chemscale.geometries.formats import FORMATS
from chemscale.typed import Count, Keys, Name, OneOf, Share, key

Natural = Annotated[int, Field(ge=0)]
# the names in chemscale.geometries.units
LengthUnit = Literal["angstrom", "bohr", "nm"]
EnergyUnit = Literal["eV", "hartree", "kcal/mol", "kJ/mol"]
ForcesUnit = Literal[
    "eV/angstrom", "hartree/angstrom", "hartree/bohr", "kcal/mol/angstrom", "kJ/mol/angstrom", "kJ/mol/nm"
]


class Entry(Keys):
    """A dataset."""

    arm: Literal["language", "potential"] = key("arm that the dataset is for")
    source: str = key("kind of source")
    title: str | None = key("what the dataset is", None)
    licence: str | None = key("licence of the data", None)
    citation: str | None = key("publication to cite", None)
    seed: Natural = key("seed of the shuffle, whose first D examples are a training subset, and of what is drawn here")
    max_failure_share: Share = key("share of refused lines or geometries above which the step fails")

    @classmethod
    def depends(cls, entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for keys of a raw `entry` that other keys make necessary or useless.

        Asked whatever else is wrong with the entry, so that all that is missing is reported at once.
        """
        yield from ()

    @classmethod
    def missing(cls, name: str) -> str:
        """Return the message about a key that is missing."""
        return f"missing; add it ({cls.model_fields[name].description})"


class MoleculeEntry(Entry):
    """A dataset of the language arm."""

    molecules: Count | None = key(
        "distinct molecules it holds, to check the sizes of a study before anything runs", None
    )
    validation: Count = key("molecules of the validation split, which selects weights", unit="molecules")
    test: Count = key("molecules of the test split", unit="molecules")
    max_tokens: Annotated[int, Field(ge=3)] = key(
        "longest molecule kept, [BOS] and [EOS] included; longer ones are refused, counted and kept with the reason",
        unit="tokens",
    )

    @property
    def training_examples(self) -> int | None:
        """Molecules of the training split, where the entry tells."""
        return None if self.molecules is None else self.molecules - self.validation - self.test


class MoleculeFileEntry(MoleculeEntry):
    """A dataset of the language arm that is read from a file; .gz and the one file in a .zip are read through."""

    format: Literal["lines", "csv", "parquet", "sdf"] | None = key(
        "format; lines = words, of which the first that is mostly a molecule counts; csv = any delimited table; left "
        "out, the suffix tells",
        None,
    )
    column: str | None = key("column of SMILES of csv and parquet; left out, found by name or content", None)
    delimiter: Literal[",", ";", "|", "tab", "space"] | None = key(
        "delimiter of csv; left out, found by content; space = any blanks, without quotes", None
    )
    split_column: str | None = key("column of csv and parquet that names the split of a molecule", None)
    splits: dict[Name, str] | None = key(
        "names of the splits here, with those in the file, as in {train: train, test: test, scaffold: test_scaffolds}; "
        "validation is drawn from train unless it is named; all others are final test splits, whose sum `test` states",
        None,
    )
    test_each: Count | None = key(
        "molecules kept of each of the file's test splits, drawn by the seed; left out = all", None
    )

    def broken_rules(self) -> Iterator[tuple[str, str]]:
        """Yield splits that are named in part, and columns of formats that have none."""
        if (self.splits is None) != (self.split_column is None):
            given, lacking = ("splits", "split_column") if self.splits else ("split_column", "splits")
            yield given, f"needs {lacking} too; give both to keep the splits of the file, or neither"
        if self.splits is None and self.test_each is not None:
            yield "test_each", "needs splits too; give them, or say with `test` how many molecules to hold out"
        if self.splits is not None and not {"train", "test"} <= set(self.splits):
            yield "splits", "must name train and test, as in {train: train, test: test}"
        if self.format not in (None, "csv"):
            for name in ("delimiter",) if self.format == "parquet" else ("column", "split_column", "delimiter"):
                if getattr(self, name) is not None:
                    yield name, f"format: {self.format} has no {name.replace('_', ' ')}; leave it out"


class GeometryEntry(Entry):
    """A dataset of the potential arm."""

    method: str = key("level of theory of the labels, such as wB97X/6-31G(d)")
    structures: Count | None = key("geometries it holds", None)
    training_structures: Natural | None = key(
        "geometries left for training, to check the sizes of a study before anything runs; "
        "0 = all are test structures, for `evaluate_on`",
        None,
    )
    unseen_molecules: Natural | None = key("molecules held out with all their geometries", None)
    validation: Count | None = key(
        "geometries of training molecules in the validation split, which selects weights", None, unit="structures"
    )
    test: Count | None = key("geometries of training molecules in the test split", None, unit="structures")

    @classmethod
    def depends(cls, entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield sizes of splits that are missing, or given where all structures are test structures."""
        for name in ("unseen_molecules", "validation", "test"):
            if entry.get("training_structures") == 0 and name in entry:
                yield name, "has no effect with training_structures: 0; remove it"
            elif entry.get("training_structures") != 0 and name not in entry:
                yield name, cls.missing(name)

    @property
    def training_examples(self) -> int | None:
        """Geometries of the training split, where the entry tells."""
        return self.training_structures


class GeometryFileEntry(GeometryEntry):
    """A dataset of the potential arm that is read from a file; its numbers are checked against the stated units."""

    format: Annotated[str, OneOf(lambda: FORMATS)] = key("layout of the file, see the table of formats")
    energy: str = key("what the file calls the energies")
    forces: str = key("what the file calls the forces")
    positions: str | None = key("what the file calls the positions, if not as the format does", None)
    numbers: str | None = key("what the file calls the atomic numbers or symbols, if not as the format does", None)
    molecule: str | None = key("what the file calls the molecules; left out, as the table of formats says", None)
    energy_unit: EnergyUnit | None = key("unit of the energies in the file; needed unless the file states it", None)
    forces_unit: ForcesUnit | None = key("unit of the forces in the file; needed unless the file states it", None)
    length_unit: LengthUnit | None = key(
        "unit of the positions in the file; left out, what the file states, else angstrom", None
    )
    forces_are: Literal["forces", "gradient"] = key("sign: forces, or the gradient of the energy", "forces")
    charge: str | None = key(
        "what the file calls the charges: one total for all or for each geometry, or numbers per atom, which are "
        "summed; smiles = the formal charge of the SMILES; left out, all are neutral",
        None,
    )
    missing_charge: int | None = key("charge of geometries for which the file has none; left out, an error", None)
    spin: str | None = key(
        "what the file calls the spins; smiles = the radical electrons of the SMILES; left out, all are closed shells",
        None,
    )
    spin_is: Literal["unpaired", "multiplicity"] = key(
        "whether a spin is the number of unpaired electrons or the multiplicity 2S+1", "unpaired"
    )
    ions_and_radicals: Literal["refuse", "drop"] = key(
        "what to do with a geometry whose charge or open shell the file shows but `charge` or `spin` do not take: "
        "refuse the file, or leave it out and count it",
        "refuse",
    )
    ignore_cell: bool = key("whether to read molecules in a periodic box as isolated ones", False)
    skip_unit_checks: list[Literal["work", "stiffness", "distance", "total", "valence"]] = key(
        "unit checks that err for this file (docs/explanation/units.md); recorded with the dataset", []
    )

    @classmethod
    def depends(cls, entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Also yield what the format needs beyond other formats."""
        yield from super().depends(entry)
        record = FORMATS.get(str(entry.get("format")))
        for name in record.needs if record else ():
            if name not in entry:
                yield name, cls.missing(name)
        if "missing_charge" in entry and "charge" not in entry:
            yield "missing_charge", "has no meaning without charge; name the charges in `charge`, or leave it out"


@dataclass(frozen=True)
class Source:
    """A kind of source: the model of its entries per arm, and the function that makes its raw file available.

    `fetch` takes the dataset's name, its entry and its directory, and returns the path of the file. It is None where
    the dataset is made with its labels in one step (`chemscale label`).
    """

    name: str
    entries: Mapping[str, type[Entry]]
    fetch: Callable[[str, Any, Path], Path] | None
