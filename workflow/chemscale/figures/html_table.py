"""A table in HTML that sorts and filters itself, where a page runs no scripts of its own.

Snakemake's report inserts its first page as text: `<script>` in it is never run, attributes such as `onclick` are.
"""

from html import escape

import pandas as pd

FILTER = (
    "for (const row of this.nextElementSibling.tBodies[0].rows) "
    "row.hidden = !row.textContent.toLowerCase().includes(this.value.toLowerCase())"
)
# numbers by value, all else as text; what is no number comes last
SORT = (
    "const place = this.parentNode.cellIndex, heads = this.closest('tr').cells; "
    "const body = this.closest('table').tBodies[0]; "
    "const up = this.parentNode.getAttribute('aria-sort') !== 'ascending'; "
    "for (const head of heads) head.removeAttribute('aria-sort'); "
    "this.parentNode.setAttribute('aria-sort', up ? 'ascending' : 'descending'); "
    "const read = row => row.cells[place].textContent.trim(); "
    "const numeric = [...body.rows].every(row => read(row) === '' || !isNaN(read(row))); "
    "const number = row => read(row) === '' ? (up ? Infinity : -Infinity) : Number(read(row)); "
    "const order = (a, b) => numeric ? (number(a) === number(b) ? 0 : number(a) - number(b)) "
    ": read(a).localeCompare(read(b)); "
    "body.append(...[...body.rows].sort((a, b) => up ? order(a, b) : order(b, a)))"
)


def html_table(table: pd.DataFrame) -> list[str]:
    """Return the lines of a table that sorts by a click on a heading and shows the rows with the words typed above."""
    heads = "".join(
        f'<th><button type="button" title="sort" onclick="{escape(SORT)}">{escape(name)}</button></th>'
        for name in table.columns
    )
    rows = [
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.astype(str).to_numpy().tolist()
    ]
    return [
        f'<input type="search" placeholder="filter rows" aria-label="filter rows" oninput="{escape(FILTER)}">',
        f"<table><thead><tr>{heads}</tr></thead><tbody>",
        *rows,
        "</tbody></table>",
    ]
