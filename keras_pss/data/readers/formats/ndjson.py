"""Raw columns of text with one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from keras_pss.data.readers.blocks import Raw, rejected
from keras_pss.data.readers.formats.lines import (
    broken_piece,
    line_source,
    text_pieces,
    text_types,
)
from keras_pss.data.readers.reasons import NOT_JSON, NOT_UTF8, WRONG_TYPE
from keras_pss.data.readers.source import Source
from keras_pss.data.readers.values.columns import Column
from keras_pss.messages import did_you_mean, shown

# Texts that may have been a list, an object or half of a surrogate pair.
_DOUBTFUL = "^[\\[{]|\x00"


# Bytes of a file in which each column must occur; a missing value may be left
# out of its object.
_SEARCHED = 1 << 23


class WrongTypeError(ValueError):
    """A value of a row has another type; its argument is the column."""


class NDJSON:
    """Reads text with one JSON object a line in blocks of lines.

    All values become texts: numbers as decimals, true and false as words.

    Args:
        columns: The columns of values.
        block_bytes: Size of a block in bytes.
    """

    def __init__(self, columns: Iterable[Column], block_bytes: int):
        self.types = text_types(columns)
        self.listed = {
            name: isinstance(dtype, pl.List)
            for name, dtype in self.types.items()
        }
        self.block_bytes = block_bytes

    def blocks(self, source: Source) -> Iterator[Callable[[], Raw]]:
        """Functions that each parse one block of a file, in order.

        Raises:
            ValueError: If no object has a column of the schema.
        """
        unseen, read, first = set(self.listed), 0, b""
        for data, reason in text_pieces(source, self.block_bytes):
            unseen = {name for name in unseen if not _occurs(name, data or b"")}
            first, read = first or data or b"", read + len(data or b"")
            if unseen and first and (data is None or read > _SEARCHED):
                raise _unknown(source, sorted(unseen)[0], first)
            if reason:
                yield partial(broken_piece, self.types, data or b"", reason)
            elif data:
                yield partial(self.parse, data)

    def parse(self, data: bytes) -> Raw:
        """The rows of a block of lines."""
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        rows = self._rows(data)
        if rows is None or rows.height != lines:
            return self._line_by_line(data, lines)
        rows = rows.with_columns(
            pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)).name.keep()
        )
        return Raw(rows, lines, line_source(data))

    def _rows(self, data: bytes) -> pl.DataFrame | None:
        """The rows, if all lines are as they should be."""
        try:
            rows = pl.read_ndjson(data, schema=self.types)
        except PolarsError:
            return None
        doubts = []
        for name, listed in self.listed.items():
            text = pl.col(name)
            if listed:
                text = text.list.explode()
            doubts.append(text.str.contains(_DOUBTFUL).any().alias(name))
        return None if any(rows.select(doubts).row(0)) else rows

    def _line_by_line(self, data: bytes, lines: int) -> Raw:
        source = line_source(data)
        found: dict[str, list[Any]] = {name: [] for name in self.listed}
        numbers, broken = [], []
        for number in range(lines):
            line = source(number)
            try:
                row = self._row(line)
            except WrongTypeError as error:
                name = str(error)
                broken.append(rejected(number, WRONG_TYPE, line, name))
                continue
            except UnicodeError:
                broken.append(rejected(number, NOT_UTF8, line))
                continue
            except (ValueError, RecursionError):
                broken.append(rejected(number, NOT_JSON, line))
                continue
            numbers.append(number)
            for name, value in row.items():
                found[name].append(value)
        return Raw(
            pl.DataFrame(found, schema=self.types),
            lines,
            lambda row: source(numbers[row]),
            np.array(numbers, np.int64),
            broken,
        )

    def _row(self, line: bytes) -> dict[str, Any]:
        values = json.loads(
            line.decode(),
            parse_constant=_refused,
            object_pairs_hook=_first,
        )
        if not isinstance(values, Mapping):
            raise ValueError("not an object")
        row: dict[str, Any] = {}
        for name, listed in self.listed.items():
            value = values.get(name)
            try:
                if listed and value is not None:
                    row[name] = [_text(v) for v in _list(value)]
                else:
                    row[name] = _text(value) or None
            except TypeError:
                raise WrongTypeError(name) from None
        return row


def _occurs(name: str, data: bytes) -> bool:
    texts = json.dumps(name), json.dumps(name, ensure_ascii=False)
    return any(text.encode() in data for text in texts)


def _unknown(source: Source, name: str, data: bytes) -> ValueError:
    try:
        known = list(json.loads(data.partition(b"\n")[0]))
    except ValueError:
        known = []
    return ValueError(
        "`sources` must have every column of the schema. The objects of "
        f"{source.path} have no {name!r}.{did_you_mean(name, known)} "
        f"Received: the columns {shown(known)}"
    )


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a repeated name, the first value, as Polars reads it."""
    return dict(reversed(pairs))


def _refused(word: str) -> Any:
    raise ValueError(f"no JSON: {word}")


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _text(value: Any) -> str | None:
    """The text of a JSON value, as Polars writes it.

    Raises:
        TypeError: If it is a list or an object.
        UnicodeError: If it holds half of a surrogate pair.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            raise ValueError("no finite number")
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        value.encode()
        return value
    if value is None:
        return None
    raise TypeError
