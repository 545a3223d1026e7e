"""Where the records of delimited text begin and end, and which are broken.

Polars reads regular text exactly: records of one width whose quotes stand
around whole fields. Here the other records are found and are rewritten as
regular ones or left out, each with its reason.
"""

import re
from dataclasses import dataclass, field

import numpy as np

from keras_pss.data.readers.blocks import Int64Array
from keras_pss.data.readers.reasons import (
    BAD_QUOTES,
    NOT_CLOSED,
    NOT_UTF8,
    WRONG_FIELDS,
)
from keras_pss.data.readers.source import MAX_LINE

_NEWLINE = 10
# Control characters that can stand for a separator of several characters.
_MARKS = [bytes([i]) for i in range(31, 0, -1) if i not in (9, 10, 13)]


@dataclass
class Framed:
    """Regular text made of a block of lines.

    Attributes:
        text: Regular records, each ends with a newline.
        numbers: Int64 (records,), the first line of each record, from 0.
        heights: Number of lines of each record with more than one, by its
            first line.
        broken: (line, reason) of each broken record.
        lines: Number of lines that make up the records; the others begin a
            record that the next block ends.
    """

    text: bytes
    numbers: Int64Array
    heights: dict[int, int]
    broken: list[tuple[int, str]]
    lines: int


@dataclass
class Dialect:
    """How fields are separated and quoted.

    Args:
        separator: Bytes between two fields.
        quote: A byte, or empty.
        mark: The byte that stands for the separator in plain text.
        replaced: (byte, what it stands for) in plain text.
    """

    separator: bytes
    quote: bytes
    mark: bytes = field(default=b"")
    replaced: tuple[tuple[bytes, bytes], ...] = ()

    def __post_init__(self) -> None:
        self.mark = self.mark or self.separator[:1]
        mark, quote = re.escape(self.mark), re.escape(self.quote or b'"')
        self._bare = re.compile(b"[^" + mark + b"\n]*+")
        inner = b"[^" + quote + b"]*+"
        self._quoted = re.compile(
            quote + b"(" + inner + b"(?:" + quote * 2 + inner + b")*+)" + quote
        )

    def plain(self, data: bytes) -> tuple["Dialect", bytes]:
        """Text with a separator of one byte, and no carriage return.

        Returns:
            The dialect of that text, and the text.

        Raises:
            ValueError: If no control character is left to replace others.
        """
        text = data if data.endswith(b"\n") or not data else data + b"\n"
        special = [self.separator] if len(self.separator) > 1 else []
        if b"\r" in text:  # much faster than a search for two bytes
            while b"\r\n" in text:
                # All carriage returns before a newline belong to it.
                text = text.replace(b"\r\n", b"\n")
            # Polars drops some of the other carriage returns.
            special += [b"\r"] if b"\r" in text else []
        replaced: list[tuple[bytes, bytes]] = []
        for old in special:
            taken = {self.quote, self.separator, *dict(replaced)}
            mark = _free(text, taken)
            text = text.replace(old, mark)
            replaced.append((mark, old))
        if not replaced:
            return self, text
        mark = replaced[0][0] if len(self.separator) > 1 else self.separator
        dialect = Dialect(self.separator, self.quote, mark, tuple(replaced))
        return dialect, text

    def fields(
        self, text: bytes, start: int
    ) -> tuple[list[bytes], int] | str | None:
        """Reads the record at `start` of plain text, however it is quoted.

        A quote has its meaning at the beginning of a field alone, as in
        Python's `csv`.

        Returns:
            The fields and the end of the record; or the reason why it is
            broken; or None if its last quote is still open.
        """
        found: list[bytes] = []
        at, end = start, min(len(text), start + MAX_LINE)
        while True:
            if self.quote and text.startswith(self.quote, at):
                match = self._quoted.match(text, at, end)
                if match is None:
                    return NOT_CLOSED if end < len(text) else None
                value = match[1].replace(self.quote * 2, self.quote)
            else:
                match = self._bare.match(text, at)
                assert match is not None  # it may be empty
                value = match[0]
            found.append(value)
            at = match.end()
            if text.startswith(b"\n", at):
                return found, at + 1
            if not text.startswith(self.mark, at):
                return BAD_QUOTES
            at += 1

    def restored(self, field: bytes) -> bytes:
        """A field of plain text as it was written."""
        for mark, original in self.replaced:
            field = field.replace(mark, original)
        return field

    def frame(self, text: bytes, width: int, last: bool = True) -> Framed:
        """Finds the records of plain text.

        Args:
            text: See `plain`.
            width: Number of fields of a good record.
            last: Whether the file ends here.
        """
        irregular, good = self._classify(text, width)
        lines = text.split(b"\n")[:-1]
        starts = np.cumsum([0, *(len(line) + 1 for line in lines)])
        heights: dict[int, int] = {}
        broken: dict[int, str] = {}
        inside = np.zeros(len(lines), bool)  # of a record that began before
        total = len(lines)
        for i in np.flatnonzero(irregular).tolist():
            if inside[i]:
                continue
            record = self.fields(text, int(starts[i]))
            if record is None and not last:
                total = i
                break
            if record is None or isinstance(record, str):
                broken[i] = record or NOT_CLOSED
                continue
            values, end = record
            after = int(np.searchsorted(starts, end))
            if after > i + 1:
                heights[i] = after - i
                inside[i + 1 : after] = True
            lines[i] = self._regular(values)
            good[i] = len(values) == width
        for i in np.flatnonzero(~(good | inside)[:total]).tolist():
            broken.setdefault(i, WRONG_FIELDS)
        if not decodes(text):
            for i in np.flatnonzero(~inside[:total]).tolist():
                known = broken.get(i, WRONG_FIELDS)
                if known == WRONG_FIELDS and not decodes(lines[i]):
                    broken[i] = NOT_UTF8
        good[list(broken)] = False
        numbers = np.flatnonzero((good & ~inside)[:total])
        return Framed(
            b"".join([lines[i] + b"\n" for i in numbers.tolist()]),
            numbers,
            heights,
            sorted(broken.items()),
            total,
        )

    def _classify(
        self, text: bytes, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which lines are no record by themselves, and which are good ones.

        A line is a record by itself if its quotes are around whole fields or
        doubled within those.
        """
        codes = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(codes == _NEWLINE)
        starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
        mark = self.mark[0]
        marks = np.flatnonzero(codes == mark)
        line = np.searchsorted(ends, marks)
        if not self.quote or self.quote not in text:
            counts = np.bincount(line, minlength=len(ends))
            return np.zeros(len(ends), bool), counts == width - 1
        quote = self.quote[0]
        quotes = np.flatnonzero(codes == quote)
        first = np.searchsorted(quotes, starts)  # quotes before each line
        owner = np.searchsorted(ends, quotes)
        rank = np.arange(len(quotes)) - first[owner]
        before, after = codes[quotes - 1], codes[quotes + 1]
        opens = (quotes == starts[owner]) | (before == mark)
        opens |= (before == quote) & (rank > 0)
        closes = (after == mark) | (after == _NEWLINE) | (after == quote)
        wrong = np.where(rank % 2 == 0, ~opens, ~closes)
        irregular = np.bincount(owner, minlength=len(ends)) % 2 == 1
        irregular[owner[wrong]] = True
        inside = (np.searchsorted(quotes, marks) - first[line]) % 2 == 1
        counts = np.bincount(line[~inside], minlength=len(ends))
        return irregular, ~irregular & (counts == width - 1)

    def _regular(self, values: list[bytes]) -> bytes:
        """A record with quotes around each field."""
        quote = self.quote
        return self.mark.join(
            quote + value.replace(quote, quote * 2) + quote for value in values
        )


def decodes(data: bytes) -> bool:
    """Whether bytes are UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _free(text: bytes, taken: set[bytes]) -> bytes:
    """A control character that the text does not hold."""
    for mark in _MARKS:
        if mark not in text and mark not in taken:
            return mark
    raise ValueError(
        "`sources` must be text. Received: a block of lines that holds all "
        "control characters"
    )
