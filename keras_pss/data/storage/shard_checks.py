"""Checks of a metadata file's entries about shards against each other.

The entries may come from an untrusted source: the names of files are compared
with those that the splits must have, so they cannot point elsewhere.
"""

import re
from pathlib import Path
from typing import Any

AGAIN = "Copy the folder again or prepare the data again."


def shard_name(split: str, index: int, count: int) -> str:
    """File name of a shard, such as `train-00000-of-00004.bin`."""
    return f"{split}-{index:05d}-of-{count:05d}.bin"


def check_split(
    name: str, part: Any, rows_per_shard: Any, labelled: bool = True
) -> None:
    """Raises ValueError if the entry of a split does not agree with itself.

    Args:
        name: Name of the split.
        part: Its entry: `rows`, `clicks` and `shards`.
        rows_per_shard: Number of rows of all shards except the last.
        labelled: Whether clicks are counted; else they must be None.
            Default: True.
    """
    shards = part.get("shards") if isinstance(part, dict) else None
    if not isinstance(shards, list) or not shards:
        raise ValueError(f"{name} without shards")
    for index, shard in enumerate(shards):
        wanted = shard_name(name, index, len(shards))
        if not isinstance(shard, dict) or shard.get("name") != wanted:
            raise ValueError(f"{short(shard)} in place of {wanted}")
        rows: Any = shard.get("rows")
        clicks: Any = shard.get("clicks")
        digest = shard.get("sha256")
        if not is_count(rows) or not (
            is_count(clicks) and clicks <= rows if labelled else clicks is None
        ):
            raise ValueError(f"rows={rows!r}, clicks={clicks!r} in {wanted}")
        if not is_sha256(digest):
            raise ValueError(f"sha256={short(digest)} in {wanted}")
    if not is_count(rows_per_shard) or any(
        shard["rows"] != rows_per_shard for shard in shards[:-1]
    ):
        raise ValueError(f"rows_per_shard={rows_per_shard!r}")
    for key in ("rows", "clicks") if labelled else ("rows",):
        total = sum(shard[key] for shard in shards)
        if not is_count(part.get(key)) or part[key] != total:
            raise ValueError(
                f"{part.get(key)!r} {name} {key} in total, {total} in shards"
            )


def check_size(path: Path, size: int, metadata: str) -> None:
    """Raises unless a file that the metadata names exists with this size."""
    if not path.is_file():
        raise FileNotFoundError(
            f"A shard that {metadata} names must exist. Received: "
            f"{str(path)!r}. {AGAIN}"
        )
    if path.stat().st_size != size:
        raise ValueError(
            f"{path} must have {size} bytes. Received: "
            f"{path.stat().st_size} bytes. {AGAIN}"
        )


def is_count(value: Any) -> bool:
    """Whether a value of a JSON document is an integer of at least 0."""
    return type(value) is int and value >= 0


def is_sha256(value: Any) -> bool:
    """Whether a value of a JSON document is a SHA-256 in hexadecimal."""
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))


def short(value: Any) -> str:
    """The beginning of a value's text, for a message."""
    return repr(value)[:100]
