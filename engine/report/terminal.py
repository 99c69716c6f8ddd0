"""Summary tables in the terminal, readable at 80 columns and through a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from engine.report.summary import Table

LEFT = ("claim", "reason", "path", "pairs", "verdict", "control", "predicted", "measured", "activation")
LONG = ("claim", "reason")
VERDICTS = {"holds": "green", "fails": "bold red", "not applicable": "yellow"}


def show(heading: str, tables: Sequence[Table], console: Console | None = None) -> None:
    """Print the tables under their heading; ``console`` is standard output where none is given."""
    console = console or Console(highlight=False)
    console.print(Text(heading))
    console.print()
    for table in tables:
        # words come from claims and data: never markup
        shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in table.head:
            left = name in LEFT
            shown.add_column(Text(name), justify="left" if left else "right", overflow="fold", no_wrap=name not in LONG)
        for row in table.rows[: table.lines]:
            shown.add_row(*(Text(printable(cell), style=VERDICTS.get(cell, "")) for cell in row))
        console.print(Text(table.title, style="bold"))
        console.print(shown, end="")
        left_out = len(table.rows) - table.lines
        if left_out > 0:
            console.print(Text(f"… and {left_out} more, in the report", style="dim"))
        if table.note:
            console.print(Text(table.note, style="dim"))
        console.print()


def printable(words: str) -> str:
    """The words without control characters: data cannot move the cursor or change colours."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words)
