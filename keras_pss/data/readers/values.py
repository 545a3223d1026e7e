"""From raw columns to values: the one place that casts and checks."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from keras_pss.data.readers.blocks import Raw, Values
from keras_pss.data.readers.casts import CANONICAL_HEX
from keras_pss.data.readers.columns import Column, columns, results
from keras_pss.features import Schema


class Caster:
    """Casts raw rows to values and rejects those that fail.

    Args:
        schema: The schema.
        labelled: Whether to read the label, the group and the split.

    Attributes:
        columns: The columns that are read.
        names: Columns of the log that are read, each once.
    """

    def __init__(self, schema: Schema, labelled: bool = True):
        self.schema = schema
        self.columns = columns(schema, labelled)
        needed = {column.source for column in self.columns}
        self.names = tuple(n for n in schema.columns if n in needed)
        self._results = results(schema, {c.name for c in self.columns})

    def __call__(self, raw: Raw) -> Values:
        """The valid rows of a block and all of its rejects, in order."""
        frame = self._cleaned(raw.rows)
        found = self._simplified(frame)
        types = {c.name: _element(frame.schema[c.raw]) for c in found}
        frame = (
            frame.lazy()
            .with_columns([c.value(types[c.name]) for c in found])
            .collect()
        )
        reasons = _reasons(frame, found, types)
        rejects = list(raw.broken)
        if reasons is not None:
            frame, wrong = _without(frame, reasons)
            rejects += [
                raw.reject(row, reason, found[place].source)
                for row, reason, place in wrong
            ]
            rejects.sort(key=lambda reject: reject.line)
        rows = frame.lazy().select(**self._results).collect()
        return Values(rows, rejects, raw.lines)

    def _cleaned(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One raw column for each column of values."""
        made = {}
        for column in self.columns:
            value = pl.col(column.source)
            dtype = rows.schema[column.source]
            if column.separator is not None and dtype == pl.String:
                value = self._text(value).str.split(column.separator)
                value = value.list.eval(self._text(pl.element(), True))
            elif isinstance(dtype, pl.List):
                if dtype.inner == pl.String:
                    value = value.list.eval(self._text(pl.element(), True))
                elif dtype.inner.is_float():
                    value = value.list.eval(pl.element().fill_nan(None))
            elif dtype == pl.String:
                value = self._text(value)
            elif dtype.is_float():
                value = value.fill_nan(None)
            made[column.raw] = value
        return rows.lazy().select(**made).collect()

    def _text(self, value: pl.Expr, empty: bool = False) -> pl.Expr:
        """Texts with null for those that mean a missing value.

        Args:
            value: The texts.
            empty: Whether empty texts are among them.
        """
        form = self.schema.format
        if form.strip:
            value = value.str.strip_chars()
        missing = {*form.missing, ""}
        if not empty and not form.strip:
            missing.discard("")  # readers give null for those
        for text in sorted(missing):
            value = pl.when(value != pl.lit(text)).then(value)
        return value

    def _simplified(self, frame: pl.DataFrame) -> list[Column]:
        """The columns; those of canonical hexadecimal texts need no work."""
        names = [c.raw for c in self.columns if c.hexadecimal]
        if not names:
            return self.columns
        canonical = frame.select(
            pl.col(names).str.contains(CANONICAL_HEX).all()
        ).row(0, named=True)
        return [
            c.canonical() if canonical.get(c.raw) else c for c in self.columns
        ]


def _element(dtype: pl.DataType) -> pl.DataType:
    """The type of a column's values, or of its lists' elements."""
    return dtype.inner if isinstance(dtype, pl.List) else dtype  # type: ignore[return-value]


def _reasons(
    frame: pl.DataFrame, found: Sequence[Column], types: dict[str, pl.DataType]
) -> pl.DataFrame | None:
    """Why rows fail, a column for each column that has such rows.

    Columns are named by the place of the values' column; several of one place
    are joined. None if all rows are valid.
    """
    checks = [
        (place, *check)
        for place, column in enumerate(found)
        for check in column.checks(types[column.name])
    ]
    failed = frame.select(
        [failed.alias(str(i)) for i, (_, failed, _) in enumerate(checks)]
    ).row(0)
    wrong: dict[int, list[pl.Expr]] = {}
    for (place, _, reason), fails in zip(checks, failed, strict=True):
        if fails:
            wrong.setdefault(place, []).append(reason)
    if not wrong:
        return None
    return frame.select(
        [pl.coalesce(r).alias(str(place)) for place, r in wrong.items()]
    )


def _without(
    frame: pl.DataFrame, reasons: pl.DataFrame
) -> tuple[pl.DataFrame, list[tuple[int, str, int]]]:
    """The valid rows, and (row, reason, place of the column) of the others."""
    bad = reasons.select(
        pl.any_horizontal(pl.all().is_not_null()).alias("bad")
    )["bad"]
    places = [int(name) for name in reasons.columns]
    wrong = []
    rows = bad.arg_true()
    for row, texts in zip(rows, reasons.filter(bad).rows(), strict=True):
        at = next(i for i, text in enumerate(texts) if text is not None)
        wrong.append((row, texts[at], places[at]))
    return frame.filter(~bad), wrong
