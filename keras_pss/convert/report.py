"""What `compress_model` did, table by table."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from keras_pss.text_tables import aligned, byte_size


@dataclass(frozen=True)
class ConvertedTable:
    """A table of the model, replaced or left.

    Attributes:
        layer: Name of its layer.
        table: Its name or number among several of the layer; empty for the
            only one.
        rows, width: Its shape.
        method: The method that replaced it; `"full"` if it is left.
        parameters: Its parameters before.
        parameters_after: Parameters of what replaced it, in units of four
            bytes of the served layer, index tables included; None if it
            shares them with other tables of its layer.
        relative_error: `||H - E|| / ||E||` (Frobenius) of the new rows H; None
            if the layer that replaced it does not tell.
        weighted_relative_error: The same with each row weighted by its count;
            None without counts.
        why: Why it was left, or what is to be known of it.
    """

    layer: str
    table: str
    rows: int
    width: int
    method: str
    parameters: int
    parameters_after: int | None
    relative_error: float | None = None
    weighted_relative_error: float | None = None
    why: str = ""


@dataclass(frozen=True)
class CompressionReport:
    """What `compress_model` did; `print` shows a table.

    Attributes:
        tables: One entry for each table of the model.
        parameters: Parameters of all tables before.
        parameters_after: The same of the new model's served tables, in units
            of four bytes, index tables included.
        why: Why a method was chosen, by the name of the layer.
        notes: Sentences on what else differs from the model before.
        before, after: Metrics by name on the data that was given; empty
            without data.
    """

    tables: tuple[ConvertedTable, ...]
    parameters: int
    parameters_after: int
    why: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)

    @property
    def compression(self) -> float:
        """How many times smaller the tables are."""
        return self.parameters / max(1, self.parameters_after)

    @property
    def bytes(self) -> int:
        return 4 * self.parameters

    @property
    def bytes_after(self) -> int:
        return 4 * self.parameters_after

    def with_metrics(
        self, before: dict[str, float], after: dict[str, float]
    ) -> Self:
        """The report with metrics before and after."""
        return replace(self, before=dict(before), after=dict(after))

    def as_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "compression": self.compression,
            "bytes": self.bytes,
            "bytes_after": self.bytes_after,
        }

    def __str__(self) -> str:
        lines = [_HEAD, *map(_row, self.tables)]
        lines.append(
            [
                "all tables",
                "",
                "",
                f"{self.compression:.4g}x",
                f"{self.parameters:,}",
                f"{self.parameters_after:,}",
                "",
                "",
                f"{byte_size(self.bytes)} to {byte_size(self.bytes_after)}",
            ]
        )
        text = aligned(lines, (0, 3, len(_HEAD) - 1))
        together: dict[str, list[str]] = {}
        for name, why in self.why.items():
            together.setdefault(why, []).append(name)
        text += [f"{_listed(names)}: {w}" for w, names in together.items()]
        for name, value in self.before.items():
            change = self.after[name] - value
            text.append(
                f"{name}: {value:.4f} before, {self.after[name]:.4f} after "
                f"({change:+.4f})"
            )
        return "\n".join([*text, *self.notes])


_HEAD = [
    *("table", "rows", "width", "method", "parameters", "after"),
    *("error", "by counts", ""),
]


def _row(table: ConvertedTable) -> list[str]:
    after = table.parameters_after
    return [
        " ".join(filter(None, (table.layer, table.table))),
        f"{table.rows:,}",
        f"{table.width:,}",
        table.method,
        f"{table.parameters:,}",
        "shared" if after is None else f"{after:,}",
        _number(table.relative_error),
        _number(table.weighted_relative_error),
        table.why,
    ]


def _listed(names: list[str]) -> str:
    """Names as a text, not more than a few of them."""
    if len(names) <= 4:
        return ", ".join(names)
    return f"{', '.join(names[:3])} and {len(names) - 3} more"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
