"""What embedding tables become within a budget, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_pss.text_tables import aligned

if TYPE_CHECKING:
    from keras_pss.layers import EmbeddingCollection


@dataclass(frozen=True)
class PlannedTable:
    """What one table becomes.

    Attributes:
        name: Name of the table, or its position.
        ids: Integer n, the number of ids; None for an open vocabulary.
        rows: Number of ids with a row of their own, id 0 included; None if
            all ids share a memory.
        width: Integer, the numbers of such a row, or a tuple of those of
            each band of rows; None as above.
        precision: `"float32"`, `"int8"` or `"int4"`, as the table is served.
        tail: What the other ids share: `"oov"`, `"hash"`, `"robe"`, or
            `"none"` if there are no others.
        parameters: Number of parameters that no other table shares.
        bytes: Bytes of these, served.
        reason: One sentence.
    """

    name: str
    ids: int | None
    rows: int | None
    width: int | tuple[int, ...] | None
    precision: str
    tail: str
    parameters: int
    bytes: int
    reason: str


def _shown(width: int | tuple[int, ...] | None) -> str:
    if width is None:
        return "-"
    return (
        ", ".join(map(str, width)) if isinstance(width, tuple) else str(width)
    )


@dataclass(frozen=True)
class Plan:
    """A choice that `keras_pss.plan` made; `print` shows it table by table.

    Attributes:
        tables: What each table becomes.
        output_dim: Integer d, the length of an embedding.
        budget: The budget, as it was given.
        allowed_bytes: Integer, the bytes that the budget allows.
        method: The chosen method string.
        options: Its options.
        division: The budget that the method divides; None if the options set
            the size.
        parameters: Number of parameters of all tables together, which
            `count_params` of the built tables returns.
        bytes: Bytes of all tables in a served model, at most the budget; with
            a precision below float32, after `quantize("int8")`.
        why: Why this method.
        advice: What could find something better; empty if counts decide.
        asked: The method and the options that a run takes to choose the same
            for its own tables: `"auto"` with options, or `"robe"`.
        fingerprint: SHA-256 of the counts; None without counts.
        named: Whether tables have names rather than positions.
        notes: Dict of what is kept in the file, such as the results of runs.
    """

    tables: tuple[PlannedTable, ...]
    output_dim: int
    budget: str | int
    allowed_bytes: int
    method: str
    options: Mapping[str, Any]
    division: str | int | None
    parameters: int
    bytes: int
    why: str
    advice: str
    asked: tuple[str, Mapping[str, Any]]
    fingerprint: str | None
    named: bool
    notes: Mapping[str, Any]

    def arguments(self) -> dict[str, Any]:
        """The arguments of `EmbeddingCollection` for these tables."""
        dims = {table.name: table.ids for table in self.tables}
        return {
            "input_dims": dims if self.named else list(dims.values()),
            "output_dim": self.output_dim,
            "method": self.method,
            "budget": self.division,
            "options": dict(self.options),
        }

    def collection(self, **kwargs: Any) -> "EmbeddingCollection":
        """Creates the tables.

        Args:
            **kwargs: Further arguments of `EmbeddingCollection`, such as
                `features`.
        """
        from keras_pss.layers import EmbeddingCollection

        return EmbeddingCollection(**self.arguments(), **kwargs)

    def settings(self) -> dict[str, Any]:
        """The settings of a training run that follows the plan."""
        method, options = self.asked
        return {
            "method": method,
            "options": dict(options),
            "budget": self.budget,
            "dim": self.output_dim,
        }

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        from keras_pss.planning import plan_file

        return plan_file.content(self)

    def save(self, path: Any) -> None:
        """Writes a JSON file, which `keras_pss.planning.load_plan` reads."""
        from keras_pss.planning import plan_file

        plan_file.save(self, path)

    def __str__(self) -> str:
        head = ("table", "ids", "rows", "width", "precision", "others share")
        lines = [[*head, "parameters", "bytes", "why"]]
        for t in self.tables:
            lines.append(
                [
                    t.name,
                    "open" if t.ids is None else f"{t.ids:,}",
                    "-" if t.rows is None else f"{t.rows:,}",
                    _shown(t.width),
                    t.precision,
                    "-" if t.tail == "none" else t.tail,
                    f"{t.parameters:,}",
                    f"{t.bytes:,}",
                    t.reason,
                ]
            )
        own = sum(t.parameters for t in self.tables)
        held = sum(t.bytes for t in self.tables)
        if self.parameters > own or self.bytes > held:
            shared = (f"{self.parameters - own:,}", f"{self.bytes - held:,}")
            lines.append(["(shared)", *[""] * 5, *shared, ""])
        lines.append(
            [
                "all tables",
                *[""] * 5,
                f"{self.parameters:,}",
                f"{self.bytes:,}",
                f"budget {self.budget}: {self.allowed_bytes:,} bytes",
            ]
        )
        text = aligned(lines, (0, 4, 5, 8))
        text.append(f"method={self.method!r}: {self.why}.")
        if self.advice:
            text.append(self.advice)
        return "\n".join(text)
