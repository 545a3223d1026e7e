"""Which columns a block of values has, and how each is cast and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from keras_pss.data.readers.reasons import (
    NO_LABEL,
    NO_TIME,
    NOT_A_NUMBER,
    WRONG_LENGTH,
)
from keras_pss.data.readers.values import casts
from keras_pss.data.readers.values.casts import Cast
from keras_pss.data.readers.values.labels import label
from keras_pss.data.readers.values.times import time, time_feature
from keras_pss.features import (
    Categorical,
    Cross,
    Dense,
    MultiCategorical,
    Schema,
    TimeFeature,
)
from keras_pss.features.cross import SEPARATOR

NO_HEX = "00000000"  # the missing category, as in facebookresearch/dlrm
WEIGHTS = ":weights"

Rule = Callable[[pl.Expr, pl.DataType], Cast]


@dataclass(frozen=True)
class Column:
    """A column of values that is read from one column of the log.

    Attributes:
        name: Name among the values.
        source: Column of the log.
        cast: Makes the cast of an expression of raw values (of the elements,
            if `listed`) of a type.
        listed: Whether the raw values are lists.
        separator: Text between the elements of a list, if it is a text.
        required: Why a row without a value is rejected, or "".
        length: Length of all lists, or the name of the column whose lists
            are as long, or None.
        kind: `"text"`, `"hex"`, `"integer"`, `"number"`, `"label"` or
            `"time"`.
    """

    name: str
    source: str
    cast: Rule
    listed: bool = False
    separator: str | None = None
    required: str = ""
    length: int | str | None = None
    kind: str = "text"

    @property
    def raw(self) -> str:
        """Name of the raw column; no feature has a colon in its name."""
        return f"{self.name}:raw"

    def checks(self, dtype: pl.DataType) -> Iterator[tuple[pl.Expr, pl.Expr]]:
        """What may be wrong with the rows.

        Yields:
            An expression of one boolean that is false only if no row is
            wrong, and an expression of the reason, null for good rows.
        """
        raw, value = pl.col(self.raw), pl.col(self.name)
        if self.required:
            missing = pl.when(raw.is_null()).then(pl.lit(self.required))
            yield raw.null_count() > 0, missing
        if self.length is not None:
            found, needed = raw.list.len(), pl.lit(self.length)
            if isinstance(self.length, str):
                found = found.fill_null(0)
                needed = pl.col(self.length).list.len().fill_null(0)
            wrong = found != needed
            yield wrong.any(), pl.when(wrong).then(pl.lit(WRONG_LENGTH))
        if isinstance(self.length, str):
            kept = _beside(value, pl.col(self.length)).list.drop_nulls()
            some = kept.list.len() < _sizes(pl.col(self.length))
            yield some.any(), pl.when(some).then(pl.lit(NOT_A_NUMBER))
        if not self.listed:
            cast = self.cast(raw, dtype)
            yield value.null_count() > raw.null_count(), cast.failures(raw)
            return
        cast = self.cast(pl.element(), dtype)
        reasons = raw.list.eval(cast.failures(pl.element()))
        yield (
            _sizes(value).sum() < _sizes(raw).sum(),
            reasons.list.drop_nulls().list.first(),
        )

    def value(self, dtype: pl.DataType) -> pl.Expr:
        """The values, null where a cast fails."""
        raw = pl.col(self.raw)
        if self.listed:
            cast = self.cast(pl.element(), dtype)
            return raw.list.eval(cast.value).alias(self.name)
        return self.cast(raw, dtype).value.alias(self.name)

    def canonical(self) -> Column:
        """The same column where all hexadecimal texts are canonical."""
        cast = partial(casts.category, kind="hex", canonical=True)
        return replace(self, cast=cast)


def _sizes(lists: pl.Expr) -> pl.Expr:
    """Numbers of elements that are not missing."""
    return lists.list.drop_nulls().list.len()


def _beside(weights: pl.Expr, values: pl.Expr) -> pl.Expr:
    """The weights, null where the element is missing."""
    # Filters within lists panic in Polars 2.1 if a block has one row.
    there = pl.when(pl.element().is_not_null()).then(1.0)
    alike = weights.list.len() == values.list.len()
    return pl.when(alike).then(weights) * pl.when(alike).then(
        values.list.eval(there)
    )


def columns(schema: Schema, labelled: bool) -> list[Column]:
    """The columns that are read for a schema.

    Args:
        schema: The schema.
        labelled: Whether to read what only training and evaluation need:
            the label, the group and the split.
    """
    found: list[Column] = []
    if labelled and schema.label is not None:
        found.append(
            Column(
                "label",
                schema.label.column,
                partial(label, rule=schema.label),
                required=NO_LABEL,
                kind="label",
            )
        )
    for feature in schema.features:
        if isinstance(feature, Categorical):
            found.append(
                Column(
                    feature.name,
                    feature.column,
                    _category(feature.dtype),
                    kind=_kind(feature.dtype),
                )
            )
        elif isinstance(feature, MultiCategorical):
            found.extend(_lists(feature))
        elif isinstance(feature, Dense):
            found.append(_dense(feature))
    if schema.timestamp is not None and (labelled or schema.time_features):
        found.append(
            Column(
                "time",
                schema.timestamp.column,
                partial(time, rule=schema.timestamp),
                required=NO_TIME,
                kind="time",
            )
        )
    texts = {f"key:{key}": key for key in schema.keys}
    if labelled and schema.group is not None:
        texts["group"] = schema.group.column
    if labelled and schema.split.column is not None:
        texts["split"] = schema.split.column
    found += [Column(name, key, casts.text) for name, key in texts.items()]
    return found


def _category(kind: str) -> Rule:
    return partial(casts.category, kind=kind)


def _kind(dtype: str) -> str:
    return "hex" if dtype == "hex" else "text"


def _dense(feature: Dense) -> Column:
    integers = feature.dtype == "integer"
    listed = feature.size > 1
    return Column(
        feature.name,
        feature.column,
        casts.integer if integers else casts.number,
        listed=listed,
        length=feature.size if listed else None,
        kind="integer" if integers else "number",
    )


def _lists(feature: MultiCategorical) -> Iterator[Column]:
    ids = Column(
        feature.name,
        feature.column,
        _category(feature.dtype),
        listed=True,
        separator=feature.separator,
        kind=_kind(feature.dtype),
    )
    yield ids
    if feature.weights is not None:
        yield Column(
            feature.name + WEIGHTS,
            feature.weights,
            casts.number,
            listed=True,
            separator=feature.separator,
            length=ids.raw,
            kind="number",
        )


def results(schema: Schema, names: set[str]) -> dict[str, pl.Expr]:
    """What becomes of the cast values of valid rows, by name, in order.

    Args:
        schema: The schema.
        names: Names of the columns that are there.
    """
    made = {"label": pl.col("label")} if "label" in names else {}
    for single in schema.single:
        made[single.name] = _single(single, schema)
    for dense in schema.dense:
        value = pl.col(dense.name)
        made[dense.name] = (
            value.list.to_array(dense.size) if dense.size > 1 else value
        )
    for multi in schema.multi:
        made.update(_cut(multi))
    made.update({n: pl.col(n) for n in ("time",) if n in names})
    for name in ("group", "split", *(f"key:{key}" for key in schema.keys)):
        if name in names:
            made[name] = pl.col(name).fill_null("")
    return made


def _single(
    feature: Categorical | Cross | TimeFeature | Dense, schema: Schema
) -> pl.Expr:
    if isinstance(feature, Cross):
        parts = [_single(schema[n], schema) for n in feature.columns]  # type: ignore[arg-type]
        return pl.concat_str(parts, separator=SEPARATOR)
    if isinstance(feature, TimeFeature):
        return time_feature(pl.col("time"), feature.name)
    value = pl.col(feature.name)
    if isinstance(feature, Dense):
        return value.cast(pl.Float64)
    return value.fill_null(NO_HEX if feature.dtype == "hex" else "")


def _cut(feature: MultiCategorical) -> Iterator[tuple[str, pl.Expr]]:
    """Lists without missing elements, not longer than declared."""
    values = pl.col(feature.name)
    names = {feature.name: values}
    if feature.weights is not None:
        name = feature.name + WEIGHTS
        names[name] = _beside(pl.col(name), values)
    for name, lists in names.items():
        lists = lists.list.drop_nulls().fill_null([])
        if feature.keep == "first":
            yield name, lists.list.head(feature.max_length)
        else:
            yield name, lists.list.tail(feature.max_length)
