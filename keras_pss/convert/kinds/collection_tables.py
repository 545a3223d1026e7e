"""An `EmbeddingCollection` whose tables are all uncompressed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_pss.convert.asked import STAYS
from keras_pss.convert.kinds.kind import (
    Counts,
    Kind,
    check_list,
    described,
)
from keras_pss.convert.kinds.table_rows import TableRows
from keras_pss.convert.report import ConvertedTable
from keras_pss.layers.base.budget import Budget
from keras_pss.layers.composite.embedding_collection import EmbeddingCollection
from keras_pss.ops.fitting.errors import Errors

# Rows of all tables whose errors are measured at once.
_BLOCK = 1 << 14


class CollectionTables(Kind):
    """The tables of a collection, by position or by name."""

    layer: EmbeddingCollection

    def __init__(self, layer: EmbeddingCollection) -> None:
        super().__init__(layer)
        names, found = self._names(), {}
        for part, tables in layer.part_tables():
            first = 0  # tables of one width are stacked
            for table in tables:
                rows = int(layer.specs()[table].rows or 0)
                found[table] = TableRows(
                    part.embeddings_table, rows, first, names[table]
                )
                first += rows
        self.tables = [found[table] for table in range(len(names))]

    def _names(self) -> list[str]:
        given: Any = self.layer.input_dims
        if isinstance(given, Mapping):
            return list(given)
        return [str(place) for place in range(len(given))]

    @property
    def width(self) -> int | None:
        """The width of all tables; None if they differ."""
        widths = {table.shape[1] for table in self.tables}
        return widths.pop() if len(widths) == 1 else None

    @classmethod
    def obstacle(cls, layer: EmbeddingCollection) -> str | None:
        if len(layer.uncompressed()) < len(layer.specs()):
            return f"its tables are compressed (method={layer.method!r})"
        if not layer.built:
            return "it is not built, so it has no trained tables"
        if any(part.quantization_mode is not None for part in layer.parts()):
            return "its tables are packed; compress the float model"
        return None

    def _each(self, counts: Any) -> list[Any]:
        names = self._names()
        if isinstance(counts, Mapping):
            if set(counts) != set(names):
                raise ValueError(
                    f"`counts` of layer '{self.name}' must be a dict with the "
                    f"counts of its tables: {', '.join(names)}. "
                    f"Received: counts[{self.name!r}]={described(counts)}"
                )
            return [counts[name] for name in names]
        check_list(self.name, counts, self.tables)
        return list(counts)

    def create(
        self,
        method: str,
        options: Mapping[str, Any],
        budget: Budget | None,
        min_rows: int | None,
    ) -> EmbeddingCollection:
        """The collection that replaces this one, not built.

        Args:
            method, min_rows: As in the collection.
            options: Arguments of the method.
            budget: The budget; None if the options determine the sizes.
        """
        config = self.layer.get_config()
        tables: Any = config["input_dims"]
        if isinstance(tables, Mapping):
            config["input_dims"] = {
                name: {**table, "method": None, "options": None}
                for name, table in tables.items()
            }
        config.update(
            method=method,
            options=dict(options),
            budget=None if budget is None else budget.form,
            min_rows=min_rows,
            count_index=True,
            embeddings_constraint=None,
        )
        for name in ("kept_ids", "part_dtypes"):
            config.pop(name, None)
        return type(self.layer)(**config)

    def fit(self, created: Any, counts: Counts, progress: Any) -> None:
        created.fit_tables(self.tables, counts, progress=progress)

    def converted(
        self, created: Any, method: str, counts: Counts
    ) -> list[ConvertedTable]:
        kept = created.uncompressed()
        sizes = _sizes(created)
        errors = self._errors(created, counts)
        constraint = self.layer.embeddings_constraint
        return [
            ConvertedTable(
                self.name,
                table.name,
                *table.shape,
                "full" if place in kept else created.method,
                table.size,
                table.size if place in kept else sizes.get(place),
                errors[place].relative,
                errors[place].weighted,
                why=STAYS
                if place in kept
                else ("" if constraint is None else "without its constraint"),
            )
            for place, table in enumerate(self.tables)
        ]

    def _errors(self, created: Any, counts: Counts) -> list[Errors]:
        """The errors of each table, which a fit tells of all together."""
        found = [Errors() for _ in self.tables]
        longest = max(table.shape[0] for table in self.tables)
        for begin in range(0, longest, _BLOCK):
            block = np.arange(begin, min(begin + _BLOCK, longest))
            ids = [
                np.minimum(block, table.shape[0] - 1).astype(np.int32)
                for table in self.tables
            ]
            rows = created.rows_at(ids)
            for place, table in enumerate(self.tables):
                end = min(begin + len(block), table.shape[0])
                if begin < end:
                    found[place].add(
                        table[begin:end],
                        rows[place][: end - begin],
                        None if counts is None else counts[place][begin:end],
                    )
        return found


def _sizes(created: EmbeddingCollection) -> dict[int, int]:
    """Sizes of the tables that have a layer of their own, by place."""
    return {
        tables[0]: part.budget_size()
        for part, tables in created.part_tables()
        if len(tables) == 1
    }
