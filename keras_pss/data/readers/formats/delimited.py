"""Raw columns of text with separators, with or without quotes and a header.

The file is long because it has the way of regular text, which Polars reads at
once, beside that of other text and of headers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from keras_pss.data.readers.blocks import Raw, rejected
from keras_pss.data.readers.formats.framing import Dialect, Framed, decodes
from keras_pss.data.readers.formats.lines import (
    broken_piece,
    line_source,
    text_pieces,
)
from keras_pss.data.readers.reasons import TOO_LONG, WRONG_FIELDS
from keras_pss.data.readers.source import Source
from keras_pss.features import Format
from keras_pss.messages import did_you_mean, shown

_NEWLINE = 10
_CACHED = 1 << 16  # bytes whose comparisons stay in a core's cache


@dataclass(frozen=True)
class Layout:
    """The columns of one file.

    Args:
        width: Number of columns.
        wanted: The columns that are read, and where each stands.
    """

    width: int
    wanted: dict[str, int]


class Delimited:
    """Reads text with separators in blocks of whole records.

    Args:
        form: How the files are written.
        wanted: Names of the columns that are read.
        optional: Column that files without a header may lack, or None.
        block_bytes: Size of a block in bytes.
        integers: Names of columns that only numbers of 64 bits are made of,
            which are read as such where all of a block's fields are some.
    """

    def __init__(
        self,
        form: Format,
        wanted: Sequence[str],
        optional: str | None,
        block_bytes: int,
        integers: Sequence[str] = (),
    ):
        if form.quote is not None and not form.quote.isascii():
            raise ValueError(
                "`quote` must be an ASCII character. "
                f"Received: quote={form.quote!r}"
            )
        self.form = form
        self.wanted = tuple(wanted)
        self.optional = optional
        self.block_bytes = block_bytes
        # Other texts may mean a missing number.
        only_empty = set(form.missing) <= {""}
        self.integers = frozenset(integers if only_empty else ())
        self.dialect = Dialect(
            form.separator.encode(), (form.quote or "").encode()
        )

    def blocks(self, source: Source) -> Iterator[Callable[[], Raw]]:
        """Functions that each parse one block of a file, in order.

        Raises:
            ValueError: If the file lacks a column, or is no such text.
        """
        layout: Layout | None = None
        skipped, rest = 0, b""
        for data, reason in text_pieces(source, self.block_bytes):
            last = data is None or bool(reason)
            held = rest if last else rest + (data or b"")
            rest = b""
            if layout is None and (held or reason == TOO_LONG):
                begun = self._begin(source, held or data or b"", last)
                if begun is None:
                    rest = held
                    continue
                layout, skipped = begun
            if layout is not None and held:
                parse, rest = self._block(held, layout, skipped, last)
                skipped = 0
                yield parse
            if reason:
                yield partial(broken_piece, self.wanted, data or b"", reason)

    def _begin(
        self, source: Source, data: bytes, last: bool
    ) -> tuple[Layout, int] | None:
        """The layout of a file and the number of its header's lines.

        Returns None if the header does not end in `data`.
        """
        dialect, text = self.dialect.plain(data)
        record = dialect.fields(text, 0)
        if record is None and not last:
            return None
        if self.form.columns is not None:
            known = list(self.form.columns)
            found = len(record[0]) if isinstance(record, tuple) else 0
            if self.optional is not None and found == len(known) - 1:
                known.remove(self.optional)
            return _layout(source, known, self.wanted), 0
        if record is None or isinstance(record, str):
            raise ValueError(
                "`sources` must begin with a header that names the columns, "
                "or the schema's format must have header=False. Received: "
                f"{source.path}, whose first line is {shown(text[:200])}, "
                f"{record or 'a quote that is not closed'}"
            )
        names = [
            dialect.restored(name).decode(errors="replace")
            for name in record[0]
        ]
        if self.form.strip:
            names = [name.strip() for name in names]
        height = text.count(b"\n", 0, record[1])
        return _layout(source, names, self.wanted), height

    def _block(
        self, data: bytes, layout: Layout, skipped: int, last: bool
    ) -> tuple[Callable[[], Raw], bytes]:
        """What parses a block, and the bytes that belong to the next one."""
        for _ in range(skipped):
            cut = data.find(b"\n") + 1
            data = data[cut:] if cut else b""
        quote = self.dialect.quote
        if not quote or quote not in data:
            return partial(self._parse, data, layout, skipped, None), b""
        dialect, text = self.dialect.plain(data)
        framed = dialect.frame(text, layout.width, last)
        rest = b""
        if framed.lines < text.count(b"\n"):
            lines = data.split(b"\n")
            rest = b"\n".join(lines[framed.lines :])
        parse = partial(self._parse, data, layout, skipped, (dialect, framed))
        return parse, rest

    def _parse(
        self,
        data: bytes,
        layout: Layout,
        skipped: int,
        framed: tuple[Dialect, Framed] | None,
    ) -> Raw:
        if framed is None:
            dialect, text = self.dialect.plain(data)
            rows = self._regular_rows(text, dialect, layout)
            if rows is not None:
                height = rows.height
                numbers = np.arange(skipped, height + skipped)
                return Raw(
                    rows,
                    height + skipped,
                    line_source(data),
                    numbers if skipped else None,
                    text=text,
                )
            framed = dialect, dialect.frame(text, layout.width)
        dialect, found = framed
        source = line_source(data, found.heights)
        numbers = found.numbers + skipped
        return Raw(
            _rows(found.text, dialect, layout, len(numbers)),
            found.lines + skipped,
            lambda row: source(int(found.numbers[row])),
            numbers,
            [
                rejected(
                    line + skipped,
                    reason,
                    source(line),
                    detail=self._detail(reason, source(line), layout),
                )
                for line, reason in found.broken
            ],
        )

    def _regular_rows(
        self, text: bytes, dialect: Dialect, layout: Layout
    ) -> pl.DataFrame | None:
        """Rows of text without quotes; None if a line of it is broken."""
        if not decodes(text):
            return None
        lines = _count(text, _NEWLINE)
        marks = _count(text, dialect.mark[0])
        # If no line is too long, which is an error, none is too short either.
        if marks != lines * (layout.width - 1):
            return None
        if self.integers and not _has_blanks(text, dialect.mark):
            try:
                return _rows(text, dialect, layout, lines, self.integers)
            except PolarsError:
                self.integers = frozenset()  # the next blocks are alike
        try:
            return _rows(text, dialect, layout, lines)
        except PolarsError:
            return None

    def _detail(self, reason: str, data: bytes, layout: Layout) -> str:
        """How many fields a row should have and has, for a message."""
        quote = (self.form.quote or "").encode()
        if reason != WRONG_FIELDS or (quote and quote in data):
            return ""
        found = data.count(self.form.separator.encode()) + 1
        return f"expected {layout.width}, found {found}"


def _layout(
    source: Source, names: Sequence[str], wanted: Iterable[str]
) -> Layout:
    places: dict[str, int] = {}
    wanted = list(wanted)
    for name in wanted:
        if names.count(name) == 1:
            places[name] = names.index(name)
            continue
        if name in names:
            raise ValueError(
                "`sources` must name each column once. Rename one of them. "
                f"Received: {source.path}, which has {name!r} "
                f"{names.count(name)} times"
            )
        fix = did_you_mean(name, names)
        if not fix and not set(names) & set(wanted):
            fix = (
                " If no line names the columns, the schema's [format] needs "
                "header = false and `columns`; if the lines are divided "
                "otherwise, another `separator`."
            )
        raise ValueError(
            "`sources` must have every column of the schema. "
            f"{source.path} has no {name!r}.{fix} "
            f"Received: the columns {shown(list(names))}"
        )
    return Layout(len(names), places)


def _has_blanks(text: bytes, mark: bytes) -> bool:
    """Whether Polars might skip some bytes around a number."""
    return any(byte in text for byte in (b" ", b"\t", b"\r") if byte != mark)


def _count(text: bytes, byte: int) -> int:
    codes = np.frombuffer(text, np.uint8)
    return sum(
        int(np.count_nonzero(codes[i : i + _CACHED] == byte))
        for i in range(0, len(codes), _CACHED)
    )


def _rows(
    text: bytes,
    dialect: Dialect,
    layout: Layout,
    height: int,
    integers: Collection[str] = (),
) -> pl.DataFrame:
    """The wanted columns of regular text, null where a field is empty.

    Raises:
        PolarsError: If a line is too long, or one of the columns `integers`
            has something else.
    """
    quoted = bool(dialect.quote) and dialect.quote in text
    types: dict[str, Any] = dict.fromkeys(
        map(str, range(layout.width)), pl.String
    )
    types.update(
        (str(place), pl.Int64)
        for name, place in layout.wanted.items()
        if name in integers
    )
    if not text:
        return pl.DataFrame(schema=dict.fromkeys(layout.wanted, pl.String))
    rows = pl.read_csv(
        # Polars drops a byte order mark, which stands for itself here.
        b"\xef\xbb\xbf" + text if text.startswith(b"\xef\xbb\xbf") else text,
        has_header=False,
        schema=types,
        separator=dialect.mark.decode(),
        quote_char=dialect.quote.decode() if quoted else None,
    )
    if rows.height != height:
        raise RuntimeError(
            f"Polars {pl.__version__} read {rows.height} rows of {height}. "
            "Report this, please."
        )
    columns = {}
    for name, place in layout.wanted.items():
        column = pl.col(str(place))
        if name in integers:
            columns[name] = column
            continue
        if quoted:
            column = column.replace("", None)
        for mark, original in dialect.replaced:
            if quoted or mark != dialect.mark:
                column = column.str.replace_all(
                    mark.decode(), original.decode(), literal=True
                )
        columns[name] = column
    return rows.select(**columns)
