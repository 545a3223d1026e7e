"""Which feature a column becomes, and why."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, cast

import polars as pl

from keras_pss.data.inference.column import ColumnSample
from keras_pss.features import Categorical, Dense, MultiCategorical
from keras_pss.features.feature import Feature

FEW = 50  # different integers that are categories
_KEY_ROWS = 1000  # from which on it says something that no value repeats
_QUANTILE = 0.99
_MOST_LENGTH = 200
_WORDS = 4  # blanks in a text that nobody would call a category
_MANY = 0.8  # share of different values in a column of free texts

_ID = re.compile(
    r"(^|_)(id|ids|code|zip|zipcode|postcode|category|cate|type|key)\d*($|_)"
    r"|[a-z](Id|ID|Ids|Code|Type)$|[a-z]id$",
    re.IGNORECASE,
)
_KEY = re.compile(
    r"^(id|row_?id|row|index|uuid|display_?id|impression_?id|request_?id)$",
    re.IGNORECASE,
)
_QUANTITY = re.compile(
    r"(^|_|-)(age|price|cost|count|cnt|num|number|amount|balance|score|income|"
    r"duration|length|size|width|height|weight|distance|rate|ratio|total|sum|"
    r"avg|mean|days|hours|minutes|seconds|views|clicks)s?($|_|-)",
    re.IGNORECASE,
)


class Choice(NamedTuple):
    """What a column becomes.

    Attributes:
        kind: What its values are, in a word.
        feature: The feature, or None if the column is left out.
        why: What shows it, in words.
        is_key: Whether it names the row.
    """

    kind: str
    feature: Feature | None
    why: str
    is_key: bool = False


def decide(column: ColumnSample, name: str) -> Choice:
    """What a column becomes that is neither label nor time.

    Args:
        column: The column.
        name: Name of the feature.
    """
    if not column.name.strip():
        return Choice("unnamed", None, "the header gives it no name")
    if column.is_nested:
        return Choice("nested", None, "records within a row are not read")
    if column.is_list:
        return _of_lists(column, name)
    if not column.distinct:
        return Choice("empty", None, "no value in the sample")
    if (key := _key(column)) is not None:
        return key
    choice = _of_values(column, name)
    if column.distinct == 1 and not column.missing:
        return choice._replace(why="the same value in each row of the sample")
    return choice


def _of_values(column: ColumnSample, name: str) -> Choice:
    if column.is_hex:
        why = "eight hexadecimal digits"
        return Choice("hex", _category(column, name, "hex"), why)
    if column.has_leading_zeros:
        why = "leading zeros, which integers would lose"
        return Choice("text", _category(column, name, "string"), why)
    if column.is_integer:
        return _of_integers(column, name)
    if column.is_number:
        return _of_floats(column, name)
    return _of_texts(column, name)


def _key(column: ColumnSample) -> Choice | None:
    """A column that names the row, such as the id of an impression."""
    whole = column.is_integer or not column.is_number
    unique = column.distinct == column.present.len() and not column.missing
    if not (whole and unique):
        return None
    named = bool(_KEY.match(column.name))
    # A time, a measurement or a text may be different in each row as well.
    plain = not column.present.str.contains(r"\s").any()
    many = column.present.len() >= _KEY_ROWS and plain
    # A user may come once in the sample.
    other = _QUANTITY.search(column.name) or _ID.search(column.name)
    if named or (many and not other):
        return Choice(
            "key", None, "another value in each row: only copied", is_key=True
        )
    return None


def _of_integers(column: ColumnSample, name: str) -> Choice:
    category = _category(column, name, "integer")
    if _ID.search(column.name):
        return Choice("integer", category, "the name says an id or a code")
    if column.distinct <= FEW and not column.has_large_negatives:
        why = f"{column.distinct} different integers"
        return Choice("integer", category, why)
    named = bool(_QUANTITY.search(column.name))
    if named or column.is_skewed or column.has_large_negatives:
        feature, how = _number(column, name, "integer")
        why = "integers of falling frequency"
        if column.has_large_negatives:
            why = "integers of both signs"
        if named:
            why = "the name says a quantity"
        return Choice("integer", feature, f"{why}; {how}")
    return Choice(
        "integer",
        category,
        f"{column.distinct:,} integers without a name or a shape of quantities",
    )


def _of_floats(column: ColumnSample, name: str) -> Choice:
    feature, how = _number(column, name, "float")
    return Choice("float", feature, f"numbers; {how}")


def _number(column: ColumnSample, name: str, dtype: str) -> tuple[Dense, str]:
    """A dense feature with the transform that suits the values."""
    integer = dtype == "integer"
    kind: Literal["integer", "float"] = "integer" if integer else "float"
    if column.is_skewed and not column.has_large_negatives:
        how = "log1p"
        if column.negative:
            how += f" ({column.negative:.1%} are below 0 and become 0)"
        feature = Dense(
            name,
            column.name,
            kind,
            "log1p",
            minimum=0,
        )
        return feature, how
    missing: float | str = float(round(column.median)) if integer else "mean"
    feature = Dense(
        name,
        column.name,
        kind,
        "standard",
        missing=missing if column.missing else 0.0,  # type: ignore[arg-type]
    )
    return feature, "standardized"


def _of_texts(column: ColumnSample, name: str) -> Choice:
    if column.present.str.contains(r"^\s*[\[{].*[\]}]\s*$").all():
        why = "text in brackets: write the elements with a separator"
        return Choice("nested", None, why)
    separator = column.separator
    if separator is not None:
        return _of_elements(column, name, separator)
    blanks = column.present.str.count_matches(" ").mean()
    many = column.distinct > _MANY * column.present.len()
    if float(cast(float, blanks)) >= _WORDS and many:
        return Choice("text", None, "free text, hardly ever the same")
    numbers = column.present.cast(pl.Float64, strict=False)
    why = f"{column.distinct:,} different texts"
    if 0 < numbers.null_count() < 0.05 * numbers.len():
        bad = column.present.filter(numbers.is_null())[0]
        why = f"numbers but for some, such as {bad!r}"
    return Choice("text", _category(column, name, "string"), why)


def _of_lists(column: ColumnSample, name: str) -> Choice:
    lengths = column.raw.list.len().drop_nulls() if column.raw.len() else None
    floats = column.texts.drop_nulls()
    fractions = floats.str.contains(r"\.").any() and column.is_number
    if lengths is None or not lengths.len() or not floats.len():
        return Choice("list", None, "no value in the sample")
    if fractions:
        if lengths.n_unique() == 1:
            size = int(lengths[0])
            return Choice(
                "vector",
                Dense(name, column.name, size=size),
                f"{size} numbers in each row",
            )
        return Choice("list", None, "lists of numbers of different lengths")
    return _of_elements(column, name, None)


def _of_elements(
    column: ColumnSample, name: str, separator: str | None
) -> Choice:
    """A list of categories, cut where few rows are longer."""
    lists = column.lists(separator)
    parts = ColumnSample(name, lists.explode())
    if parts.is_number and not parts.is_integer and not parts.has_leading_zeros:
        why = "lists of numbers with fractions, as weights are"
        return Choice("list", None, why)
    lengths = lists.list.len()
    longest = int(cast(int, lengths.max()))
    length = int(cast(float, lengths.quantile(_QUANTILE, "higher")))
    length = max(1, min(length, _MOST_LENGTH))
    # What is missing within a list has no id: it stays a text.
    whole = parts.is_integer and not parts.missing_texts
    dtype = "integer" if whole else "string"
    divided = "" if separator is None else f" divided by {separator!r}"
    why = f"lists{divided}; max_length {length} is enough for 99% of the rows"
    if longest > length:
        why += f", the longest has {longest}"
    feature = MultiCategorical(
        name,
        column.name,
        dtype,  # type: ignore[arg-type]
        separator=separator,
        max_length=length,
    )
    return Choice("list", feature, why)


def _category(column: ColumnSample, name: str, dtype: str) -> Categorical:
    return Categorical(name, column.name, dtype)  # type: ignore[arg-type]
