"""Reads MovieLens' files; the first broken line is an error.

Three formats, told apart by their first line: `user::movie::rating::time`
without a header (1M, 10M), CSV with the header
`userId,movieId,rating,timestamp` (20M, 25M, 32M), and CSV with the header
`user_id,movie_id,like` in time order.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from keras_pss.data.inference.describe import describe
from keras_pss.data.readers.block import Reject
from keras_pss.data.readers.log_reader import BLOCK_BYTES, LogReader
from keras_pss.data.readers.reasons import FIXES
from keras_pss.data.readers.source import Source, whole_lines
from keras_pss.features import Categorical, Format, Label, Schema

Int64Array = npt.NDArray[np.int64]

LIKE_FROM = 4

_LIKES = b"user_id,movie_id,like"
_RATINGS = b"userId,movieId,rating,timestamp"
_BOM = b"\xef\xbb\xbf"
_FIRST_BYTES = 1 << 12
_NUMBER = "an integer of at least 0"
_RULES = {
    **dict.fromkeys(("user_id", "userId", "movie_id", "movieId"), _NUMBER),
    "rating": "0.5 to 5 in steps of 0.5",
    "timestamp": "seconds since 1970, an integer",
    "like": "0 or 1",
}


class Columns(NamedTuple):
    """Rows in the file's order.

    `users` and `items` int64 (n,), `likes` int32 (n,), `times` int64 (n,) in
    microseconds, or zeros where the file is in time order already.
    """

    users: Int64Array
    items: Int64Array
    likes: npt.NDArray[np.int32]
    times: Int64Array


def read(path: Path, block_bytes: int = BLOCK_BYTES) -> tuple[Columns, str]:
    """Reads a file: plain, `.gz`, `.xz` or `.zst`.

    Args:
        path: The file.
        block_bytes: Size in bytes of the blocks of text parsed at a time.

    Returns:
        Its rows, and its SHA-256.

    Raises:
        ValueError: For a broken line, an unknown format, a broken archive, or
            a file without interactions; it names file, line and rule.
        OSError: If the file cannot be read.
    """
    schema = _schema(path)
    reader = LogReader(path, schema, block_bytes=block_bytes)
    blocks, line = [], 1
    for block in reader:
        # Each line is a row, except the header and those that are refused.
        first = line + (schema.format.header and line == 1)
        broken = block.rejects[0] if block.rejects else None
        whole = len(block) if broken is None else broken.line - first
        blocks.append(_columns(block.rows.head(whole), schema, path, first))
        if broken is not None:
            raise _of_line(broken)
        line += block.lines
    if not any(len(block.users) for block in blocks):
        raise ValueError(
            f"{path} holds no interactions. Check whether it is complete."
        )
    columns = Columns(*map(np.concatenate, zip(*blocks, strict=True)))
    return columns, reader.sources[0].sha256


def _schema(path: Path) -> Schema:
    """The schema of a file, told by its first line."""
    first = _first_line(path)
    if first in (_LIKES, None):  # an empty file is one of any format
        return Schema(
            [Categorical(n, dtype="integer") for n in ("user_id", "movie_id")],
            label=Label("like"),
            format=Format("csv"),
        )
    if first == _RATINGS:
        return replace(Schema.load("movielens"), label=_likes())
    if b"::" in first:
        return replace(Schema.load("movielens_1m"), label=_likes())
    raise _unknown(path, first)


def _first_line(path: Path) -> bytes | None:
    for data, _ in whole_lines(Source(path).chunks(), _FIRST_BYTES):
        line = data.partition(b"\n")[0].removesuffix(b"\r")
        return line.removeprefix(_BOM)
    return None


def _likes() -> Label:
    """Ratings as likes, and no others: 4 of 10 would not mean a like."""
    texts: dict[bool, list[str]] = {True: [], False: []}
    for half_stars in range(1, 11):
        stars = half_stars / 2
        texts[stars >= LIKE_FROM] += {f"{stars:g}", f"{stars:.1f}"}
    return Label(
        "rating", positive=tuple(texts[True]), negative=tuple(texts[False])
    )


def _columns(
    rows: pl.DataFrame, schema: Schema, path: Path, first_line: int
) -> Columns:
    """Values of a block as arrays.

    Raises:
        ValueError: For an id that is missing or negative.
    """
    ids = []
    for feature in schema.single:
        texts = rows[feature.name]
        values = texts.cast(pl.Int64, strict=False).fill_null(-1).to_numpy()
        for row in np.flatnonzero(values < 0)[:1].tolist():
            raise _broken(
                f"{path}:{first_line + row}",
                f"must be {feature.name}: {_NUMBER}",
                f"{feature.name}={texts[row]!r}",
            )
        ids.append(values)
    likes = rows["label"].cast(pl.Int32).to_numpy()
    times = np.zeros(len(rows), np.int64)
    if schema.timestamp is not None:
        times = rows["time"].to_numpy()
    users, items = ids
    return Columns(users, items, likes, times)


def _of_line(reject: Reject) -> ValueError:
    rule = f"{reject.reason}: {FIXES[reject.reason]}"
    if reject.column in _RULES:
        rule = f"must be {reject.column}: {_RULES[reject.column]}"
    where = f"{reject.file}:{reject.line}"
    return _broken(where, rule, repr(reject.raw[:200]))


def _broken(where: str, rule: str, received: str) -> ValueError:
    return ValueError(
        f"{where}: {rule}. Received: {received}. Mend or remove the line; none "
        "is left out silently."
    )


def _unknown(path: Path, first: bytes) -> ValueError:
    fix = "Give MovieLens' ratings.dat or ratings.csv, or add the header."
    if (found := describe(path)) is not None:
        fix = f"This is {found.what}. {found.fix or 'Name it log.tsv.'}"
    return ValueError(
        f"{path}:1: the first line must be one of '{_LIKES.decode()}', "
        f"'{_RATINGS.decode()}', or columns 'user::movie::rating::timestamp'. "
        f"{fix} Received: {first[:200]!r}"
    )
