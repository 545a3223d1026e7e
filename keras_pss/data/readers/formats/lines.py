"""Lines of text files: what each begins with, and the bytes of one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from keras_pss.data.readers.blocks import Raw, rejected
from keras_pss.data.readers.reasons import BAD_ARCHIVE
from keras_pss.data.readers.source import Source, whole_lines
from keras_pss.data.readers.values.columns import Column

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def text_pieces(
    source: Source, block_bytes: int
) -> Iterator[tuple[bytes | None, str]]:
    """Blocks of whole lines as (data, reason), and (None, "") at the end.

    Raises:
        ValueError: If the file is UTF-16 or if its lines end with carriage
            returns alone.
    """
    first = True
    for data, reason in whole_lines(source.chunks(), block_bytes):
        if first:
            _check(source, data)
            data = data.removeprefix(_BOM)
            first = False
        yield data, reason
    yield None, ""


def _check(source: Source, data: bytes) -> None:
    if data.startswith(_UTF16):
        raise ValueError(
            "`sources` must be UTF-8. Write the file again: iconv -f UTF-16 "
            f"-t UTF-8 < FILE > log.csv. Received: {source.path}, UTF-16"
        )
    if b"\n" not in data and b"\r" in data.rstrip(b"\r"):
        raise ValueError(
            "`sources` must have lines that end with newlines. Write the file "
            "again: tr '\\r' '\\n' < FILE > log.csv. Received: "
            f"{source.path}, whose lines end with carriage returns (CR)"
        )


def text_types(columns: Iterable[Column]) -> dict[str, Any]:
    """Types of columns of the log, as texts or lists of texts."""
    return {
        c.source: pl.List(pl.String())
        if c.listed and c.separator is None
        else pl.String()
        for c in columns
    }


def line_source(
    data: bytes, heights: Mapping[int, int] | None = None
) -> Callable[[int], bytes]:
    """A function that gives the bytes of a line, or of a longer record.

    Args:
        data: The lines.
        heights: Number of lines of each record with several, by its first.
    """
    lines: list[bytes] = []

    def source(number: int) -> bytes:
        if not lines:  # most blocks have no reject
            lines.extend(data.split(b"\n"))
        height = (heights or {}).get(number, 1)
        return b"\n".join(lines[number : number + height]).rstrip(b"\r")

    return source


def broken_piece(
    columns: Sequence[str] | Mapping[str, Any], data: bytes, reason: str
) -> Raw:
    """A piece of a file that has no rows, as one reject.

    Args:
        columns: Names of the columns of texts, or types by name.
        data: The piece.
        reason: Why it has no rows.
    """
    types = columns
    if not isinstance(columns, Mapping):
        types = dict.fromkeys(columns, pl.String())
    return Raw(
        pl.DataFrame(schema=types),
        # The line at which an archive ends early is not counted as read.
        int(reason != BAD_ARCHIVE),
        lambda row: data,
        broken=[rejected(0, reason, data)],
    )
