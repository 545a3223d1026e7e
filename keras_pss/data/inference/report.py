"""What the draft of a schema is made of, column by column."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group

_EXAMPLE = 24  # characters of an example


@dataclass(frozen=True)
class ColumnReport:
    """A column of the file, and what becomes of it.

    Attributes:
        column: Name of the column.
        kind: What its values are, in a word.
        distinct: Number of different values in the sample; of lists, of
            different elements.
        missing: Share of the rows of the sample without a value.
        examples: Its most frequent values.
        decision: What the schema makes of it.
        why: What shows it, in words.
    """

    column: str
    kind: str
    distinct: int
    missing: float
    examples: tuple[str, ...]
    decision: str
    why: str


@dataclass(frozen=True)
class Report:
    """What the draft of a schema is made of; `print` shows it as a table.

    Attributes:
        file: The file.
        rows: Number of rows of the sample.
        format: How the file is written, in words.
        columns: One entry for each column, in the order of the file.
        notes: What a user should know or check.
    """

    file: str
    rows: int
    format: str
    columns: tuple[ColumnReport, ...]
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=120, color_system=None)
        with console.capture() as captured:
            console.print(self)
        return captured.get()

    def __rich__(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table("column", "type", header_style="bold")
        table.add_column("distinct", justify="right")
        table.add_column("missing", justify="right")
        table.add_column("examples", overflow="fold")
        table.add_column("decision")
        table.add_column("why", ratio=1)
        for row in self.columns:
            table.add_row(
                Text(row.column),
                row.kind,
                f"{row.distinct:,}",
                f"{row.missing:.1%}" if row.missing else "",
                Text(", ".join(map(_short, row.examples))),
                Text(row.decision),
                Text(row.why),
            )
        head = Text(f"{self.file}: {self.rows:,} rows read, {self.format}")
        notes = [Text(f"- {note}") for note in self.notes]
        return Group(head, table, *notes)


def _short(text: str) -> str:
    text = text.replace("\n", "⏎")
    return text if len(text) <= _EXAMPLE else text[: _EXAMPLE - 1] + "…"
