"""How lines of text are divided: separator, quotes, header."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

# Where two divide the lines equally well, the first one wins.
SEPARATORS = ("\t", "\x01", "::", ", ", ",", ";", "|")
QUOTE = '"'
_WORDS = {
    "\t": "tabs",
    ",": "commas",
    ", ": "commas and blanks",
    ";": "semicolons",
    "|": "bars",
}
_LINES = 200
_REGULAR = 0.9  # share of the lines with the same number of columns
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


class TextLayout(NamedTuple):
    """How lines are divided.

    Attributes:
        separator: Text between two columns.
        quote: Character around a field, or None.
        header: Names of the columns, or None if no line names them.
        width: Number of columns.
    """

    separator: str
    quote: str | None
    header: tuple[str, ...] | None
    width: int

    @property
    def in_words(self) -> str:
        """Such as "24 columns separated by commas, with a header"."""
        return in_words(self.width, self.separator, self.header is not None)


def in_words(width: int, separator: str, header: bool) -> str:
    """How lines are divided, for messages."""
    divided = _WORDS.get(separator, repr(separator))
    named = "with a header" if header else "without a header"
    return f"{width} columns separated by {divided}, {named}"


def layout_of(
    lines: Sequence[str], label: str | None = None
) -> TextLayout | None:
    """How lines of text are divided; None if no separator divides them.

    Args:
        lines: The first lines of the file, at least one.
        label: A column that a header must have.
    """
    lines = lines[:_LINES]
    best: tuple[bool, int, str] | None = None
    for separator in SEPARATORS:
        widths = Counter(len(_fields(line, separator)) for line in lines)
        width, count = widths.most_common(1)[0]
        regular = count >= _REGULAR * len(lines)
        if width < 2 or not regular:
            continue
        if len(_fields(lines[0], separator)) != width:
            continue  # it divides the lists within the rows, not the header
        # These are written for nothing else.
        found = separator in SEPARATORS[:3], width, separator
        if best is None or found[:2] > best[:2]:
            best = found
    if best is None:
        return None
    _, width, separator = best
    rows = [_fields(line, separator) for line in lines]
    return TextLayout(
        separator,
        _quote(lines, separator),
        tuple(rows[0]) if _is_header(rows, label) else None,
        width,
    )


def _fields(line: str, separator: str) -> list[str]:
    """Fields of a line; separators within quotes divide nothing."""
    fields: list[str] = []
    inside = False
    for part in line.split(separator):
        if inside:
            fields[-1] += separator + part
        else:
            fields.append(part)
        inside ^= part.count(QUOTE) % 2 == 1
    return [_unquoted(field) for field in fields]


def _unquoted(field: str) -> str:
    if len(field) > 1 and field[0] == field[-1] == QUOTE:
        return field[1:-1].replace(QUOTE * 2, QUOTE)
    return field


def _quote(lines: Sequence[str], separator: str) -> str | None:
    """Double quotes, unless they are known or likely to mean nothing."""
    edge = re.compile(rf'(^|{re.escape(separator)})"')
    if any(edge.search(line) for line in lines):
        return '"'
    common = separator in (", ", ",", ";")
    return '"' if common and not any('"' in line for line in lines) else None


def _is_header(rows: list[list[str]], label: str | None) -> bool:
    """Whether the first row names the columns."""
    first, rest = rows[0], rows[1:]
    if label is not None and label in first:
        return True
    if any(_NUMBER.fullmatch(name) for name in first):
        return False
    names = {name.strip() for name in first}
    whole = [row for row in rest if len(row) == len(first)]
    for name, column in zip(first, zip(*whole, strict=True), strict=False):
        if any(_NUMBER.fullmatch(value) for value in column):
            return True  # a word above numbers
        if name in column:
            return False
    # Words above words: a name is hardly ever a value that comes once.
    return len(names) == len(first)
