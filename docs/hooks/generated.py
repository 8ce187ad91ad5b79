"""Write the pages of the reference that follow from the code: commands, and formats of files."""

from mkdocs.structure.files import File
from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from chemscale.cli import app
from chemscale.geometries.formats import FORMATS
from chemscale.geometries.units import FLAGS
from chemscale.molecules.reading import FORMATS as MOLECULES


def commands() -> str:
    """Return the page of all commands, from the help that they print."""
    command = get_command(app)
    return get_docs_for_click(
        obj=command, ctx=Context(command, info_name="chemscale"), name="chemscale", title="Commands"
    )


def formats() -> str:
    """Return the page of the formats of molecules and geometries, and of the units that an entry may name."""
    geometries = [(f"`{one.name}`", one.layout, one.molecule, _code(one.suffixes)) for one in FORMATS.values()]
    molecules = [(f"`{suffix}`", f"`{name}`") for suffix, name in MOLECULES.items()]
    units = [(f"`{key}`", _code(words)) for key, words in FLAGS.items()]
    return "\n\n".join(
        [
            "# File formats",
            "What a dataset of your own may be. `format` in its entry names the format.",
            "## Molecules",
            "Each also in `.gz`, or alone in `.zip`.",
            _table(("file", "`format`"), molecules),
            "## Geometries",
            _table(("`format`", "file", "structures of one molecule share", "files read in a folder"), geometries),
            "## Units of geometries",
            "An entry names them, or the file states them. Stores hold Å, eV and eV/Å.",
            _table(("key", "values"), units),
        ]
    )


def _table(head, rows) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def _code(names) -> str:
    return ", ".join(f"`{name}`" for name in names)


def on_files(files, config):
    """Add the generated pages to the files of the site."""
    pages = {"reference/command-line.md": commands(), "reference/file-formats.md": formats()}
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files
