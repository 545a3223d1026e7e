"""The layout of a record: which words hold what."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from keras_pss.features import Schema

# Of a column, in the order of a record; "ids" and "weights" alternate.
KINDS = ("label", "dense", "id", "ids", "weights", "group")


@dataclass(frozen=True)
class LayoutColumn:
    """Consecutive words of a record.

    Attributes:
        name: Name of the feature, or `"label"` or `"group"`.
        kind: One of `KINDS`.
        offset: Number of words before it.
        width: Number of words.
        dtype: `"int32"` or `"float32"`.
    """

    name: str
    kind: str
    offset: int
    width: int
    dtype: str


@dataclass(frozen=True)
class LogLayout:
    """The columns of a record without gaps.

    A record consists of little-endian 32-bit words: the label, if there is
    one; the dense features; one id of each single-valued feature; for each
    multi-valued feature `max_length` ids, padded with -1, and as many
    weights, if it has any, padded with 0; the number of the group, if there
    is one.
    """

    columns: tuple[LayoutColumn, ...]

    @cached_property
    def words(self) -> int:
        """Number of words of a record."""
        return sum(column.width for column in self.columns)

    @property
    def record_bytes(self) -> int:
        """Size of a record in bytes."""
        return 4 * self.words

    def of(self, kind: str) -> tuple[LayoutColumn, ...]:
        """The columns of a kind, in order."""
        return tuple(c for c in self.columns if c.kind == kind)

    def find(self, name: str, kind: str | None = None) -> LayoutColumn:
        """The column of a name, the first one without a kind.

        Raises:
            ValueError: There is no such column.
        """
        for column in self.columns:
            if column.name == name and kind in (None, column.kind):
                return column
        names = dict.fromkeys(column.name for column in self.columns)
        raise ValueError(
            f"`name` must be one of {', '.join(names)}. Received: name={name!r}"
        )

    def to_list(self) -> list[dict[str, Any]]:
        """The columns as JSON values."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def joined(
        cls, columns: Iterable[tuple[str, str, int, str]]
    ) -> "LogLayout":
        """Lays out columns, (name, kind, width, dtype), one after the other."""
        placed, offset = [], 0
        for name, kind, width, dtype in columns:
            placed.append(LayoutColumn(name, kind, offset, width, dtype))
            offset += width
        return cls(tuple(placed))

    @classmethod
    def of_schema(
        cls, schema: Schema, dense: Mapping[str, str] | None = None
    ) -> "LogLayout":
        """The layout of a schema's records.

        Args:
            schema: The schema.
            dense: `"int32"` or `"float32"` for dense features by their names.
                Default: int32 for integers, float32 for others.
        """
        columns: list[tuple[str, str, int, str]] = []
        if schema.label is not None:
            columns.append(("label", "label", 1, "int32"))
        for number in schema.dense:
            dtype = "int32" if number.dtype == "integer" else "float32"
            dtype = (dense or {}).get(number.name, dtype)
            columns.append((number.name, "dense", number.size, dtype))
        for one in schema.single:
            columns.append((one.name, "id", 1, "int32"))
        for many in schema.multi:
            columns.append((many.name, "ids", many.max_length, "int32"))
            if many.weights is not None:
                weights = (many.name, "weights", many.max_length, "float32")
                columns.append(weights)
        if schema.group is not None:
            columns.append(("group", "group", 1, "int32"))
        return cls.joined(columns)
