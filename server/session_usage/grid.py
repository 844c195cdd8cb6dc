"""Tables in which amounts, dates and ids stay whole however narrow the terminal is."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WHOLE = ("changed", "started", "id", "from", "last seen", "day", "week", "month")
_LEAST = 4
"""Columns of the terminal that a name or title keeps while the others stay on one line."""


def grid(*columns: str) -> Table:
    """A plain table; columns that begin with ``>`` are aligned to the right.

    These, dates and ids are shortened last; a long header goes on below at a ``/``.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        right = column.startswith(">")
        name = column.removeprefix(">").replace("/", "\n")
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=right or name.replace("\n", " ") in _WHOLE,
            overflow="fold",
        )
    return table


def line(markup: str) -> Text:
    """A cell that is shortened where others would go on in a second line."""
    cell = Text.from_markup(markup, emoji=False, overflow="ellipsis")
    cell.no_wrap = True
    return cell


def show(out: Console, table: Table) -> None:
    """Prints the table: names give way to figures, and figures are folded before any is cut."""
    room = out.width - 2 * (len(table.columns) - 1)
    for column in table.columns:
        cells = [Text.from_markup(str(cell)) for cell in (column.header, *column.cells)]
        lines = [line for cell in cells for line in cell.plain.split("\n")]
        widest = max(Text(line).cell_len for line in lines)
        room -= widest if column.no_wrap else min(widest, _LEAST)
    if room < 0:
        for column in table.columns:
            column.no_wrap = False
    out.print(table)
