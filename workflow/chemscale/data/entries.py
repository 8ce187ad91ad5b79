"""The keys of a dataset that several kinds of source share, and the record of a kind of source."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from chemscale.geometries.formats import FORMATS
from chemscale.typed import Count, Keys, Name, OneOf, Share, key

Natural = Annotated[int, Field(ge=0)]


class Entry(Keys):
    """A dataset."""

    arm: Literal["language", "potential"] = key("arm that the dataset is for")
    source: str = key("kind of source")
    title: str | None = key("what the dataset is", None)
    licence: str | None = key("licence of the data", None)
    citation: str | None = key("publication to cite", None)
    seed: Natural = key("seed of the permutation whose prefixes are the training subsets, and of what is drawn here")
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
    validation: Count = key("held-out molecules that choose weights", unit="molecules")
    test: Count = key("held-out molecules that choose nothing", unit="molecules")
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
        "the file's own splits, ours: theirs, as in {train: train, test: test, scaffold: test_scaffolds}; validation "
        "is drawn from train unless it is named; all others are final test splits, whose sum `test` states",
        None,
    )

    def broken_rules(self) -> Iterator[tuple[str, str]]:
        """Yield splits that are named in part, and columns of formats that have none."""
        if (self.splits is None) != (self.split_column is None):
            given, lacking = ("splits", "split_column") if self.splits else ("split_column", "splits")
            yield given, f"needs {lacking} too; give both to keep the splits of the file, or neither"
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
    validation: Count | None = key("geometries of training molecules that choose weights", None, unit="structures")
    test: Count | None = key("geometries of training molecules that choose nothing", None, unit="structures")

    @classmethod
    def depends(cls, entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield sizes of splits that are missing, or given where all structures are test structures."""
        for name in ("unseen_molecules", "validation", "test"):
            if entry.get("training_structures") == 0 and name in entry:
                yield name, "training_structures: 0 makes all structures test structures; leave it out"
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
    energy_unit: Literal["eV", "hartree", "kcal/mol", "kJ/mol"] = key("unit of the energies in the file")
    forces_unit: Literal["eV/angstrom", "hartree/angstrom", "hartree/bohr", "kcal/mol/angstrom", "kJ/mol/angstrom"] = (
        key("unit of the forces in the file")
    )
    length_unit: Literal["angstrom", "bohr"] = key("unit of the positions in the file", "angstrom")
    forces_are: Literal["forces", "gradient"] = key("sign: forces, or the gradient of the energy", "forces")
    charge: str | None = key(
        "what the file calls the total charges, one for all or for each geometry (asedb: `charge` is the sum of "
        "initial charges); left out, all are neutral",
        None,
    )
    spin: str | None = key("what the file calls the spins; left out, all are closed shells", None)
    spin_is: Literal["unpaired", "multiplicity"] = key("what spins count: unpaired electrons, or one more", "unpaired")

    @classmethod
    def depends(cls, entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield what the format needs beyond other formats, too."""
        yield from super().depends(entry)
        record = FORMATS.get(str(entry.get("format")))
        for name in record.needs if record else ():
            if name not in entry:
                yield name, cls.missing(name)


@dataclass(frozen=True)
class Source:
    """A kind of source: the model of its entries per arm, and the function that makes its raw file available.

    `fetch` takes the dataset's name, its entry and its directory, and returns the path of the file. It is None where
    the dataset is made with its labels in one step (`chemscale label`).
    """

    name: str
    entries: Mapping[str, type[Entry]]
    fetch: Callable[[str, Any, Path], Path] | None
