"""One column of a sample: its values, and what they say about its kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import polars as pl

# Texts that often stand for a missing value. Those that may be a category as
# well (a country NA) count only where all other values are made of digits.
SURE = ("", "?", "\\N")
NUMERIC = ("NA", "N/A", "NaN", "nan", "NULL", "null", "None", "-")

INTEGER = r"^[+-]?\d+$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
# Numbers, lists of numbers, dates.
_NUMERALS = r"^[0-9eE+.,:;|^ TZ-]+$"
_LEADING_ZERO = r"^[+-]?0\d"
_HEX = r"^[0-9a-fA-F]{8}$"
# An identifier between blanks: a number, hexadecimal, or such as i17, item_3.
_ELEMENT = r"^[+-]?[0-9a-fA-F.]*\d|^\w*\d$"
# Between the elements of a list; a blank only between plain identifiers. Hive
# writes control characters.
SEPARATORS = ("|", "^", ";", "\x01", "\x02", "\x03", ",", " ")
# Share of the rows that hold the separator; most lists may have one element.
_MOST = 0.5
_UNUSUAL = "|^\x01\x02\x03"
_SOME = 0.1


@dataclass
class ColumnSample:
    """One column of a sample.

    Args:
        name: Name of the column.
        raw: Its values as they were read.
    """

    name: str
    raw: pl.Series

    def __post_init__(self) -> None:
        if isinstance(self.raw.dtype, pl.Array):
            self.raw = self.raw.arr.to_list()

    @property
    def is_list(self) -> bool:
        """Whether the column holds lists, as Parquet and JSON may."""
        return isinstance(self.raw.dtype, pl.List)

    @property
    def is_nested(self) -> bool:
        """Whether the values are records or lists of lists."""
        inner = getattr(self.raw.dtype, "inner", None)
        nested = (pl.Struct, pl.Object, pl.Binary)
        inside = isinstance(inner, pl.List | pl.Array | pl.Struct)
        return isinstance(self.raw.dtype, nested) or inside

    @cached_property
    def texts(self) -> pl.Series:
        """The values as text, null where missing; of lists, their elements."""
        values = self.raw
        if self.is_list:
            values = self.elements
        if values.dtype.is_float():
            values = _without_nan(values)
            if (values.drop_nulls() % 1 == 0).all():
                values = values.cast(pl.Int64, strict=False)
        texts = values.cast(pl.String)
        texts = texts.set(texts.is_in(SURE), None)
        if texts.is_in(NUMERIC).any():
            others = texts.filter(~texts.is_in(NUMERIC)).drop_nulls()
            if others.len() and others.str.contains(_NUMERALS).all():
                texts = texts.set(texts.is_in(NUMERIC), None)
        return texts

    @cached_property
    def elements(self) -> pl.Series:
        """The elements of all lists of a column of lists."""
        return self.raw.cast(pl.List(_inner(self.raw))).explode()

    @cached_property
    def present(self) -> pl.Series:
        """The texts that are not missing."""
        return self.texts.drop_nulls()

    @cached_property
    def counts(self) -> pl.DataFrame:
        """Texts and their counts, by falling count and then by text."""
        counts = self.present.alias("text").value_counts(name="count")
        return counts.sort(["count", "text"], descending=[True, False])

    @property
    def distinct(self) -> int:
        return self.counts.height

    @property
    def distinct_elements(self) -> int:
        """Number of different elements of lists, divided or as they are."""
        if self.is_list:
            return self.distinct
        elements = self.lists(self.separator).explode()
        return ColumnSample(self.name, elements).distinct

    @property
    def missing(self) -> float:
        """Share of the rows without a value."""
        if self.is_list:
            return float((self.raw.list.len().fill_null(0) == 0).mean() or 0.0)  # type: ignore[arg-type]
        return self.texts.null_count() / max(1, self.texts.len())

    @property
    def examples(self) -> tuple[str, ...]:
        """The most frequent values."""
        return tuple(self.counts["text"].head(3))

    @property
    def missing_texts(self) -> tuple[str, ...]:
        """Texts of the file that stand for a missing value."""
        if self.raw.dtype != pl.String:
            return ()
        gone = self.raw.filter(self.texts.is_null()).drop_nulls().unique()
        return tuple(sorted(gone))

    @cached_property
    def is_integer(self) -> bool:
        """Whether all values are integers, written without leading zeros."""
        return self.is_number and self._all(INTEGER)

    @cached_property
    def is_number(self) -> bool:
        """Whether all values are numbers; not those of too many digits."""
        if self.has_leading_zeros or not self._all(_NUMBER):
            return False
        return not self._all(INTEGER) or self._fits_64_bits()

    @cached_property
    def is_hex(self) -> bool:
        """Whether all values are eight hexadecimal digits, not all decimal.

        A letter in front of a number, as of an article, is no such digit.
        """
        letters = self.present.str.contains("^.+[a-fA-F]")
        return self._all(_HEX) and bool(letters.any())

    @cached_property
    def has_leading_zeros(self) -> bool:
        whole = self._all(INTEGER)
        return whole and bool(self.present.str.contains(_LEADING_ZERO).any())

    @cached_property
    def numbers(self) -> pl.Series:
        """The values as numbers, without the missing ones."""
        return self.present.cast(pl.Float64, strict=False).drop_nulls()

    @cached_property
    def is_skewed(self) -> bool:
        """Whether most values are small beside the largest, as counts are."""
        above = self.numbers.filter(self.numbers >= 0)
        middle, high = above.median(), above.max()
        return middle is not None and bool(middle <= 0.1 * high)  # type: ignore[operator]

    @cached_property
    def has_large_negatives(self) -> bool:
        """Whether values below 0 are more than codes, such as -1."""
        low, high = self._quantile(0.0), self._quantile(1.0)
        return low < min(-1, -0.01 * high)

    @cached_property
    def negative(self) -> float:
        """Share of the values that are below 0."""
        return float(cast(float, (self.numbers < 0).mean() or 0.0))

    @cached_property
    def median(self) -> float:
        return self._quantile(0.5)

    @cached_property
    def separator(self) -> str | None:
        """Text between the elements, if the values are lists; else None."""
        if self.is_number or not self.present.len():
            return None
        for separator in SEPARATORS:
            inside = self.present.str.contains(separator, literal=True)
            least = _SOME if separator in _UNUSUAL else _MOST
            if float(cast(float, inside.mean())) <= least:
                continue
            if self._divides(separator):
                return separator
        return None

    def lists(self, separator: str | None) -> pl.Series:
        """The values as lists of texts, without empty elements."""
        if separator is None:
            lists = self.raw.cast(pl.List(pl.String))
        else:
            lists = self.texts.fill_null("").str.split(separator)
        return lists.list.eval(
            pl.element().filter(
                pl.element().is_not_null() & (pl.element() != "")
            )
        )

    def _divides(self, separator: str) -> bool:
        """Whether the parts are categories that come again, or numbers."""
        parts = self.present.str.split(separator).explode().drop_nulls()
        parts = parts.filter(parts != "")
        if not parts.len():
            return False
        if separator in ", ":
            # Commas and blanks stand in plain text, too.
            words = bool(parts.str.contains(r"\s").any())
            ids = bool(parts.str.contains(_ELEMENT).all())
            if words or not (ids or separator == ","):
                return False
        if parts.str.contains(_NUMBER).all():
            return True
        return parts.n_unique() <= 0.5 * parts.len()

    def _all(self, pattern: str) -> bool:
        present = self.counts["text"]
        return bool(present.len()) and bool(present.str.contains(pattern).all())

    def _fits_64_bits(self) -> bool:
        return not self.present.cast(pl.Int64, strict=False).null_count()

    def _quantile(self, share: float) -> float:
        found = self.numbers.quantile(share, "nearest")
        return 0.0 if found is None else float(found)


def _inner(series: pl.Series) -> pl.DataType:
    return getattr(series.dtype, "inner", pl.String())


def _without_nan(values: pl.Series) -> pl.Series:
    return values.set(values.is_nan(), None)


def words(name: str) -> set[str]:
    """The words of a column's name: `siteId` and `site_ids` hold `site`."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)
    return {_stem(part.lower()) for part in parts}


def _stem(word: str) -> str:
    word = word.removesuffix("s")
    return word.removesuffix("id") if len(word) > 4 else word
