"""From raw columns to values: the one place that casts and checks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import polars as pl

from keras_pss.data.readers.blocks import Raw, Values
from keras_pss.data.readers.values.casts import CANONICAL_HEX
from keras_pss.data.readers.values.columns import Column, columns, results
from keras_pss.features import Schema


class Caster:
    """Casts raw rows to values and rejects those that fail.

    Args:
        schema: The schema.
        labelled: Whether to read the label, the group and the split.

    Attributes:
        columns: The columns that are read.
        names: Columns of the log that are read, each once.
        integers: Those of them that are read as integers alone.
    """

    def __init__(self, schema: Schema, labelled: bool = True):
        self.schema = schema
        self.columns = columns(schema, labelled)
        needed = {column.source for column in self.columns}
        self.names = tuple(n for n in schema.columns if n in needed)
        others = {c.source for c in self.columns if c.kind != "integer"}
        lists = {c.source for c in self.columns if c.listed}
        self.integers = tuple(needed - others - lists)
        self._hexadecimal = [
            c.raw for c in self.columns if c.kind == "hex" and not c.listed
        ]
        self._results = [
            value.alias(name)
            for name, value in results(
                schema, {c.name for c in self.columns}
            ).items()
        ]
        # Thousands of expressions take longer to make than to run.
        self._cleaning = cache(self._clean)
        self._casting = cache(self._cast)

    def __call__(self, raw: Raw) -> Values:
        """The valid rows of a block and all of its rejects, in order."""
        rows = raw.rows.select(self.names)
        frame = rows.select(self._cleaning(tuple(rows.dtypes)))
        canonical = self._canonical(frame, rows, raw.text)
        casting = self._casting(tuple(frame.dtypes), canonical)
        frame = frame.lazy().with_columns(casting.values).collect()
        reasons = casting.reasons(frame)
        rejects = list(raw.broken)
        if reasons is not None:
            frame, wrong = _without(frame, reasons)
            rejects += [
                raw.reject(row, reason, self.columns[place].source)
                for row, reason, place in wrong
            ]
            rejects.sort(key=lambda reject: reject.line)
        rows = frame.lazy().select(self._results).collect()
        return Values(rows, rejects, raw.lines)

    def _clean(self, dtypes: tuple[pl.DataType, ...]) -> list[pl.Expr]:
        """One raw column for each column of values.

        Args:
            dtypes: Types of the columns of the log, in the order of `names`.
        """
        types = dict(zip(self.names, dtypes, strict=True))
        made = []
        for column in self.columns:
            value = pl.col(column.source)
            dtype = types[column.source]
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
            made.append(value.alias(column.raw))
        return made

    def _canonical(
        self, frame: pl.DataFrame, rows: pl.DataFrame, text: bytes | None
    ) -> frozenset[str]:
        """Raw columns whose hexadecimal texts are all canonical.

        Args:
            frame: The raw columns, one for each column of values.
            rows: The columns of the log.
            text: What these are fields of, if it is known.
        """
        names = self._hexadecimal
        if not names:
            return frozenset()
        if text is not None and self._only_digits(rows, text):
            values = pl.col(names).str.len_bytes() == 8
        else:
            values = pl.col(names).str.contains(CANONICAL_HEX)
        flags = frame.select(values.all()).row(0, named=True)
        return frozenset(name for name, flag in flags.items() if flag)

    def _only_digits(self, rows: pl.DataFrame, text: bytes) -> bool:
        """Whether all texts are of hexadecimal digits; False if unsure.

        A tenth of the time that it takes to look at each text.
        """
        separators = self.schema.format.separator.encode() + b"\n"
        others = text.translate(None, b"0123456789abcdef" + separators)
        if others.strip(b"-"):
            return False
        if not others:
            return True
        # Whose minus signs are these?
        negative = sum(
            int((column < 0).sum())
            for column in rows
            if column.dtype == pl.Int64
        )
        return negative == len(others)

    def _cast(
        self, dtypes: tuple[pl.DataType, ...], canonical: frozenset[str]
    ) -> _Casting:
        found = [
            c.canonical() if c.raw in canonical else c for c in self.columns
        ]
        return _Casting(found, dtypes)

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


class _Casting:
    """Expressions that cast and check raw columns of certain types."""

    def __init__(self, found: Sequence[Column], dtypes: Sequence[pl.DataType]):
        types = [_element(dtype) for dtype in dtypes]
        pairs = list(zip(found, types, strict=True))
        self.values = [column.value(dtype) for column, dtype in pairs]
        self._places: list[int] = []
        self._why: list[pl.Expr] = []
        self._failed: list[pl.Expr] = []
        for place, (column, dtype) in enumerate(pairs):
            for failed, reason in column.checks(dtype):
                self._failed.append(failed.alias(str(len(self._failed))))
                self._why.append(reason)
                self._places.append(place)

    def reasons(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """Why rows fail, in a column for each column that has such rows.

        Its names are the places of the columns. None if all rows are valid.
        """
        wrong: dict[int, list[pl.Expr]] = {}
        failed = frame.select(self._failed).row(0)
        for place, reason, fails in zip(
            self._places, self._why, failed, strict=True
        ):
            if fails:
                wrong.setdefault(place, []).append(reason)
        if not wrong:
            return None
        return frame.select(
            [pl.coalesce(why).alias(str(place)) for place, why in wrong.items()]
        )


def _element(dtype: pl.DataType) -> pl.DataType:
    """The type of a column's values, or of its lists' elements."""
    return dtype.inner if isinstance(dtype, pl.List) else dtype  # type: ignore[return-value]


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
