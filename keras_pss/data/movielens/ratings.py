"""MovieLens' text formats to arrays; the first broken line is an error.

Three formats, told apart by their first line: `user::movie::rating::time`
without a header (1M, 10M), CSV with the header
`userId,movieId,rating,timestamp` (20M, 25M, 32M), and CSV with the header
`user_id,movie_id,like` in time order. All columns are parsed eight bytes at a
time, by the functions that read click logs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_pss.data.inference.describe import describe
from keras_pss.data.readers import text_fields as fields
from keras_pss.data.readers.block import FIXES
from keras_pss.data.readers.source import Source, whole_lines

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

BLOCK_BYTES = 1 << 20
LIKE_FROM = 8  # half stars: a rating of 4 and above is a like

# An id or time has up to two words of eight digits, and both are loaded
# backwards from its end.
_DIGITS = 16
_PADDING = _DIGITS
_NEWLINE, _RETURN = ord("\n"), ord("\r")

_NUMBER = f"1 to {_DIGITS} decimal digits"
_RULES = {
    "user": _NUMBER,
    "movie": _NUMBER,
    "timestamp": _NUMBER,
    "rating": "0.5 to 5 in steps of 0.5",
    "like": "0 or 1",
}


class RatingsFormat(NamedTuple):
    """How lines of a file are cut.

    Attributes:
        header: The first line, empty where there is none.
        separator: Between columns.
        columns: What stands in them.
    """

    header: bytes
    separator: bytes
    columns: tuple[str, ...]


RATED = ("user", "movie", "rating", "timestamp")
FORMATS = (
    RatingsFormat(b"user_id,movie_id,like", b",", ("user", "movie", "like")),
    RatingsFormat(b"userId,movieId,rating,timestamp", b",", RATED),
    RatingsFormat(b"", b"::", RATED),
)


class Columns(NamedTuple):
    """Rows in the file's order.

    `users` and `items` int64 (n,), `likes` int32 (n,), `times` int64 (n,) in
    seconds, or zeros where the file is in time order already.
    """

    users: Int64Array
    items: Int64Array
    likes: npt.NDArray[np.int32]
    times: Int64Array


def read(path: Path, block_bytes: int = BLOCK_BYTES) -> Columns:
    """Reads a file: plain, `.gz`, `.xz` or `.zst`.

    Args:
        path: The file.
        block_bytes: Size in bytes of the blocks of text parsed at a time.

    Raises:
        ValueError: For a broken line, an unknown format, a broken archive, or
            a file without interactions; it names file, line and rule.
        OSError: If the file cannot be read.
    """
    blocks = list(_blocks(path, block_bytes))
    columns = Columns(*map(np.concatenate, zip(*blocks, strict=True)))
    if not len(columns.users):
        raise ValueError(
            f"{path} holds no interactions. Check whether it is complete."
        )
    return columns


def _blocks(path: Path, block_bytes: int) -> Iterator[Columns]:
    line = 1  # of the next piece's first
    form = None
    for data, reason in whole_lines(Source(path).chunks(), block_bytes):
        if reason:
            raise ValueError(
                f"{path}:{line}: {reason}: {FIXES[reason]}. "
                f"Received: {data[:200]!r}"
            )
        if form is None:
            first, _, rest = data.partition(b"\n")
            form = _format(path, first.removesuffix(b"\r"))
            if form.header:
                data, line = rest, 2
        yield parse(data, form, str(path), line)
        line += data.count(b"\n")
    if form is None:
        yield parse(b"", FORMATS[0])


def _format(path: Path, first: bytes) -> RatingsFormat:
    for form in FORMATS:
        if first == form.header or (not form.header and b"::" in first):
            return form
    known = "', '".join(form.header.decode() for form in FORMATS[:-1])
    found = describe(path)
    fix = "Give MovieLens' ratings.dat or ratings.csv, or add the header."
    if found is not None:
        fix = f"This is {found.what}. {found.fix or 'Name it log.tsv.'}"
    raise ValueError(
        f"{path}:1: the first line must be one of '{known}', or columns "
        f"'user::movie::rating::timestamp'. {fix} Received: {first[:200]!r}"
    )


def parse(
    data: bytes, form: RatingsFormat, file: str = "", first_line: int = 1
) -> Columns:
    """Parses whole lines without a header.

    Args:
        data: Lines that end with `\\n` or `\\r\\n`; the last one may lack it.
        form: Their format.
        file: What errors call the file.
        first_line: The first line's number in it.

    Raises:
        ValueError: For the first line that breaks a rule.
    """
    text, starts, ends, complete = _cut(data, form)
    broken: dict[str, BoolArray] = {}
    numbers = {}
    for column, name in enumerate(form.columns):
        parser = {"rating": _ratings, "like": _likes}.get(name, _numbers)
        numbers[name], broken[name] = parser(
            text, starts[:, column], ends[:, column]
        )
    any_broken = np.logical_or.reduce(list(broken.values()))
    if any_broken.any():
        row = int(any_broken.argmax())
        name = next(name for name in form.columns if broken[name][row])
        raise _error(data, row, file, first_line, f"{name}: {_RULES[name]}")
    if not complete:
        row = len(starts)
        rule = f"{form.separator.decode()!r} between {len(form.columns)} "
        rule += f"columns {', '.join(form.columns)}"
        raise _error(data, row, file, first_line, rule)
    rated = "rating" in numbers
    likes = numbers["rating"] >= LIKE_FROM if rated else numbers["like"]
    times = numbers.get("timestamp", np.zeros(len(starts), np.int64))
    return Columns(
        numbers["user"], numbers["movie"], likes.astype(np.int32), times
    )


def _cut(
    data: bytes, form: RatingsFormat
) -> tuple[fields.Bytes, Int64Array, Int64Array, bool]:
    """Where the fields of the leading well-cut lines lie.

    Returns:
        The text with padding; starts and ends of the fields in it, (n,
        columns) each; and whether all lines were well cut.
    """
    end = b"\n" if data and not data.endswith(b"\n") else b""
    text = np.frombuffer(
        bytes(_PADDING) + data + end + bytes(_PADDING), np.uint8
    )
    width = len(form.separator)
    # "::" is two separators with nothing between them.
    per_line = width * (len(form.columns) - 1) + 1
    is_separator = (text == form.separator[0]) | (text == _NEWLINE)
    separators = np.flatnonzero(is_separator)
    newlines = np.flatnonzero(text[separators] == _NEWLINE)
    whole = np.diff(newlines, prepend=-1) == per_line
    count = len(whole) if whole.all() else int(whole.argmin())
    ends = separators[: count * per_line].reshape(count, per_line)
    if width > 1 and count:
        inner = ends[:, 1:-1:2] - ends[:, :-1:2] == 1
        good = inner.all(axis=1)
        count = count if good.all() else int(good.argmin())
        ends = ends[:count]
    starts = np.empty((count, len(form.columns)), np.int64)
    starts[:1, 0] = _PADDING
    starts[1:, 0] = ends[:-1, -1] + 1
    starts[:, 1:] = ends[:, width - 1 : -1 : width] + 1
    ends = ends[:, ::width].copy()
    # A carriage return before the newline belongs to it.
    ends[:, -1] -= (text[ends[:, -1] - 1] == _RETURN) & (
        ends[:, -1] > starts[:, -1]
    )
    return text, starts, ends, count == len(whole)


def _numbers(
    text: fields.Bytes, starts: Int64Array, ends: Int64Array
) -> tuple[Int64Array, BoolArray]:
    """Unsigned numbers of up to 16 digits, and which fields are not that."""
    lengths = ends - starts
    low, bad = fields.parse_decimal(
        fields.load(text, ends, np.minimum(lengths, 8))
    )
    high, also_bad = fields.parse_decimal(
        fields.load(text, ends - 8, np.clip(lengths - 8, 0, 8))
    )
    bad |= also_bad | (lengths < 1) | (lengths > _DIGITS)
    return high.astype(np.int64) * 100_000_000 + low, bad


def _ratings(
    text: fields.Bytes, starts: Int64Array, ends: Int64Array
) -> tuple[Int64Array, BoolArray]:
    """Ratings in half stars, and which fields are none."""
    lengths = ends - starts
    stars = text[starts].astype(np.int64) - ord("0")
    point, tenths = text[starts + 1], text[starts + 2]
    halves = 2 * stars + ((lengths == 3) & (tenths == ord("5")))
    fraction = (tenths == ord("0")) | (tenths == ord("5"))
    shaped = (lengths == 1) | ((lengths == 3) & (point == ord(".")) & fraction)
    return halves, ~shaped | (stars < 0) | (halves < 1) | (halves > 10)


def _likes(
    text: fields.Bytes, starts: Int64Array, ends: Int64Array
) -> tuple[Int64Array, BoolArray]:
    likes = text[starts].astype(np.int64) - ord("0")
    return likes, (ends - starts != 1) | (likes < 0) | (likes > 1)


def _error(
    data: bytes, row: int, file: str, first_line: int, rule: str
) -> ValueError:
    raw = data.split(b"\n", row + 1)[row].removesuffix(b"\r")
    return ValueError(
        f"{file}:{first_line + row}: must be {rule}. Received: "
        f"{raw[:200]!r}. Mend or remove the line; none is left out silently."
    )
