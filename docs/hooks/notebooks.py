"""Give every executed notebook under docs/ a page of the site; links to the notebook lead to its page."""

import re
from pathlib import Path

import nbformat
from mkdocs.structure.files import File


def page(path: Path) -> str:
    """Return the cells and outputs of a notebook as Markdown, followed by a link to the notebook itself."""
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        if cell.cell_type == "code":
            parts += [f"```python\n{cell.source}\n```", *map(_output, cell.outputs)]
    return "\n\n".join([*parts, f'<a href="{path.name}" download>Download this notebook</a>']) + "\n"


def _output(output) -> str:
    if output.output_type == "stream":
        return f"```text\n{output.text.rstrip()}\n```"
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="figure drawn by the cell above" src="data:image/png;base64,{data["image/png"].strip()}">'
    if "text/html" in data:
        return re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.DOTALL)
    return f"```text\n{data.get('text/plain', '').rstrip()}\n```"


def on_files(files, config):
    """Add the pages of the notebooks to the files of the site."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.append(
            File.generated(config, file.src_uri.replace(".ipynb", ".md"), content=page(Path(file.abs_src_path)))
        )
    return files


def on_page_markdown(markdown, **_):
    """Lead links to notebooks to their pages."""
    return re.sub(r"(\]\([\w./-]+)\.ipynb\)", r"\1.md)", markdown)
