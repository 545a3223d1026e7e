"""Base class of the kinds of layers that `compress_model` replaces."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_pss.convert.kinds.table_rows import TableRows
from keras_pss.convert.report import ConvertedTable
from keras_pss.layers.base.checks import shown

Counts = Sequence[np.ndarray] | None


class Kind:
    """A layer with uncompressed tables, and what becomes of it.

    Args:
        layer: The layer of the trained model.

    Attributes:
        tables: Its tables, in order.
    """

    tables: list[TableRows]

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    @property
    def name(self) -> str:
        return str(self.layer.name)

    @property
    def size(self) -> int:
        """Parameters of all tables."""
        return sum(table.size for table in self.tables)

    @classmethod
    def obstacle(cls, layer: Any) -> str | None:
        """Why a layer of this kind cannot be replaced; None if it can."""
        return None

    def counts_of(self, counts: Any) -> list[np.ndarray]:
        """The counts of each table, in order, from what the user gave.

        Raises:
            ValueError: If there are not as many as the tables have rows, or
                they are no counts.
        """
        found = [np.asarray(each) for each in self._each(counts)]
        for table, each in zip(self.tables, found, strict=True):
            place = f"[{self.name!r}]"
            place += f"[{table.name!r}]" if table.name else ""
            if each.shape != table.shape[:1]:
                raise ValueError(
                    "`counts` must have one number for each id of a table, "
                    f"{table.shape[0]} for {place}. Count the ids again. "
                    f"Received: counts{place} of shape {each.shape}"
                )
            wrong = each[:1]
            if each.dtype.kind in "uif":
                wrong = each[~(np.isfinite(each) & (each >= 0))]
            if len(wrong):
                raise ValueError(
                    "`counts` must be finite numbers of at least 0. Count the "
                    f"ids again. Received: counts{place} of dtype {each.dtype}"
                    f" with {shown(wrong[0])}"
                )
        # Ids that were never seen are all alike; a fit needs a weight.
        return [each if each.any() else np.ones_like(each) for each in found]

    def _each(self, counts: Any) -> list[Any]:
        """The counts of each table, unchecked."""
        raise NotImplementedError

    def fit(self, created: Any, counts: Counts, progress: Any) -> None:
        """Fits the layer that replaces this one to the tables."""
        raise NotImplementedError

    def converted(
        self, created: Any, method: str, counts: Counts
    ) -> list[ConvertedTable]:
        """The entries of the report after the fit."""
        raise NotImplementedError

    def left(self, why: str) -> list[ConvertedTable]:
        """The entries of the report if nothing is replaced."""
        return [
            ConvertedTable(
                self.name,
                table.name,
                *table.shape,
                "full",
                table.size,
                table.size,
                why=why,
            )
            for table in self.tables
        ]


def check_list(name: str, counts: Any, tables: Sequence[TableRows]) -> None:
    """Raises an error unless counts are a list with an entry a table."""
    if not isinstance(counts, list | tuple) or len(counts) != len(tables):
        raise ValueError(
            f"`counts` of layer '{name}' must be a list with the counts of "
            f"each of its {len(tables)} tables. "
            f"Received: counts[{name!r}]={described(counts)}"
        )


def described(counts: Any) -> str:
    """Counts as an error message shows them, without their numbers."""
    if isinstance(counts, Mapping):
        return f"a dict with the names {', '.join(map(repr, counts))}"
    if isinstance(counts, np.ndarray):
        return f"an array of shape {counts.shape}"
    if isinstance(counts, list | tuple):
        return f"a {type(counts).__name__} of {len(counts)} entries"
    return shown(counts)
