"""The `metadata.json` of a prepared folder: its format and its checks.

A folder comes from wherever it was copied from, so nothing in the file is
believed before it was compared with the rest: names cannot lead out of the
folder, and numbers must agree with each other and with the files.
"""

import re
from pathlib import Path
from typing import Any

from keras_pss.arrays import open_arrays
from keras_pss.data.criteo import schema
from keras_pss.data.encoders.encoder_file import check_config
from keras_pss.data.storage import records
from keras_pss.data.storage.splits import SPLITS
from keras_pss.files import read_json, write_json

NAME = "metadata.json"
VOCABULARY = "vocabulary.npz"
FORMAT = "keras_pss.criteo"
VERSION = 1

_AGAIN = "Copy the folder again or prepare the data again."


def write(directory: Path, content: dict[str, Any]) -> None:
    """Writes the file; `content` goes after format, version and columns."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "columns": list(schema.COLUMNS),
        **content,
    }
    write_json(document, directory / NAME)


def is_prepared(directory: Path) -> bool:
    """Whether a folder is a prepared log, of whatever version."""
    return (directory / NAME).is_file()


def read(directory: Path) -> dict[str, Any]:
    """Reads the file and checks that what it names is there.

    Raises:
        FileNotFoundError: No metadata, or a missing file.
        ValueError: Another format or version, values that do not agree, or a
            file of a wrong size.
    """
    path = directory / NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"`directory` must hold {NAME}, as `criteo.prepare` writes it. "
            f"Received: directory={str(directory)!r}. Prepare the data first."
        )
    content = read_json(path, _AGAIN)
    named, version = content.get("format"), content.get("version")
    if named != FORMAT or version != VERSION:
        raise ValueError(
            f"{path} must have format {FORMAT!r} and version {VERSION}. "
            f"Received: format={named!r}, version={version!r}. Prepare the "
            "data again with this version of keras_pss."
        )
    try:
        _check(content)
    except ValueError as error:
        raise ValueError(
            f"{path} must be as `criteo.prepare` writes it: {error}. {_AGAIN}"
        ) from error
    for part in content["splits"].values():
        for shard in part["shards"]:
            _check_size(
                directory / shard["name"],
                shard["rows"] * records.RECORD_BYTES,
            )
    _check_cardinalities(directory, content)
    return content


def _check(content: dict[str, Any]) -> None:
    """Raises ValueError where the entries do not agree with each other."""
    ids, sizes, splits, rejects = (
        content.get(name)
        for name in ("ids", "cardinalities", "splits", "rejects")
    )
    check_config(ids)
    if sizes is not None and not (
        isinstance(sizes, list)
        and len(sizes) == schema.NUM_CATEGORIES
        and all(_is_count(size) for size in sizes)
    ):
        raise ValueError(f"cardinalities={_short(sizes)}")
    if not isinstance(rejects, dict) or not all(
        _is_count(count) for count in rejects.values()
    ):
        raise ValueError(f"rejects={_short(rejects)}")
    if not isinstance(splits, dict) or not (
        {"train"} <= set(splits) <= set(SPLITS)
    ):
        raise ValueError(f"splits={_short(splits)}")
    sources = content.get("sources", [])
    if not isinstance(sources, list) or not all(
        isinstance(source, dict) and isinstance(source.get("name"), str)
        for source in sources
    ):
        raise ValueError(f"sources={_short(sources)}")
    for name, part in splits.items():
        _check_split(name, part, content.get("rows_per_shard"))


def _check_split(name: str, part: Any, rows_per_shard: Any) -> None:
    shards = part.get("shards") if isinstance(part, dict) else None
    if not isinstance(shards, list) or not shards:
        raise ValueError(f"{name} without shards")
    for index, shard in enumerate(shards):
        wanted = records.shard_name(name, index, len(shards))
        if not isinstance(shard, dict) or shard.get("name") != wanted:
            raise ValueError(f"{_short(shard)} in place of {wanted}")
        rows: Any = shard.get("rows")
        clicks: Any = shard.get("clicks")
        digest = shard.get("sha256")
        if not (_is_count(rows) and _is_count(clicks) and clicks <= rows):
            raise ValueError(f"rows={rows!r}, clicks={clicks!r} in {wanted}")
        if not isinstance(digest, str) or not re.fullmatch(
            "[0-9a-f]{64}", digest
        ):
            raise ValueError(f"sha256={_short(digest)} in {wanted}")
    if not _is_count(rows_per_shard) or any(
        shard["rows"] != rows_per_shard for shard in shards[:-1]
    ):
        raise ValueError(f"rows_per_shard={rows_per_shard!r}")
    for key in "rows", "clicks":
        total = sum(shard[key] for shard in shards)
        if not _is_count(part.get(key)) or part[key] != total:
            raise ValueError(
                f"{part.get(key)!r} {name} {key} in all and {total} in shards"
            )


def _check_cardinalities(directory: Path, content: dict[str, Any]) -> None:
    """Raises where the ids' maker has other numbers of ids."""
    path, ids = directory / VOCABULARY, content["ids"]
    wanted: list[int] | None
    if ids["policy"] == "vocabulary":
        if not path.is_file():
            raise FileNotFoundError(
                f"A folder of ids='vocabulary' must hold {VOCABULARY}. "
                f"Received: directory={str(directory)!r}. {_AGAIN}"
            )
        try:
            with open_arrays(path) as arrays:
                names = [f"counts_{name}" for name in schema.CATEGORIES]
                wanted = [arrays.shape(name)[0] for name in names]
        except (IndexError, ValueError) as error:
            raise ValueError(
                f"{path} must be what `criteo.prepare` writes. {_AGAIN} "
                f"Received: {error}"
            ) from error
    elif ids["buckets"] is None:
        wanted = None
    else:
        wanted = [ids["buckets"]] * schema.NUM_CATEGORIES
    if content["cardinalities"] != wanted:
        raise ValueError(
            f"{directory / NAME} must have the cardinalities {wanted} of its "
            f"ids. {_AGAIN} Received: {content['cardinalities']}"
        )


def _check_size(path: Path, size: int) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"A shard that {NAME} names must exist. Received: {str(path)!r}. "
            f"{_AGAIN}"
        )
    if path.stat().st_size != size:
        raise ValueError(
            f"{path} must have {size} bytes. Received: "
            f"{path.stat().st_size} bytes. {_AGAIN}"
        )


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _short(value: Any) -> str:
    return repr(value)[:100]
