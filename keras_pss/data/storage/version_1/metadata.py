"""The `metadata.json` of a prepared folder: its format and its checks.

A folder may come from an untrusted source, so every entry is validated before
use: file names cannot point outside the folder, and numbers must agree with
each other and with the files.
"""

from pathlib import Path
from typing import Any

from keras_pss.arrays import open_arrays
from keras_pss.data.criteo import schema
from keras_pss.data.encoders.encoder_file import check_config
from keras_pss.data.storage.shard_checks import (
    AGAIN,
    check_size,
    check_split,
    is_count,
    short,
)
from keras_pss.data.storage.splits import SPLITS
from keras_pss.data.storage.version_1 import records
from keras_pss.files import read_json, write_json

NAME = "metadata.json"
VOCABULARY = "vocabulary.npz"
FORMAT = "keras_pss.criteo"
VERSION = 1


def write(directory: Path, content: dict[str, Any]) -> None:
    """Writes the file: format, version and columns, then `content`."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "columns": list(schema.COLUMNS),
        **content,
    }
    write_json(document, directory / NAME)


def read(directory: Path) -> dict[str, Any]:
    """Reads the file and checks it against the files that it names.

    Raises:
        FileNotFoundError: The metadata or a file that it names is missing.
        ValueError: The format or version is unknown, entries do not agree,
            or a file has the wrong size.
    """
    path = directory / NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"`directory` must hold a {NAME} written by `criteo.prepare`. "
            f"Received: directory={str(directory)!r}. Prepare the data first."
        )
    content = read_json(path, AGAIN)
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
            f"{path} must be written by `criteo.prepare`: {error}. {AGAIN}"
        ) from error
    for part in content["splits"].values():
        for shard in part["shards"]:
            check_size(
                directory / shard["name"],
                shard["rows"] * records.RECORD_BYTES,
                NAME,
            )
    _check_cardinalities(directory, content)
    return content


def _check(content: dict[str, Any]) -> None:
    """Raises ValueError if the entries do not agree with each other."""
    ids, sizes, splits, rejects = (
        content.get(name)
        for name in ("ids", "cardinalities", "splits", "rejects")
    )
    check_config(ids)
    if sizes is not None and not (
        isinstance(sizes, list)
        and len(sizes) == schema.NUM_CATEGORIES
        and all(is_count(size) for size in sizes)
    ):
        raise ValueError(f"cardinalities={short(sizes)}")
    if not isinstance(rejects, dict) or not all(
        is_count(count) for count in rejects.values()
    ):
        raise ValueError(f"rejects={short(rejects)}")
    if not isinstance(splits, dict) or not (
        {"train"} <= set(splits) <= set(SPLITS)
    ):
        raise ValueError(f"splits={short(splits)}")
    sources = content.get("sources", [])
    if not isinstance(sources, list) or not all(
        isinstance(source, dict) and isinstance(source.get("name"), str)
        for source in sources
    ):
        raise ValueError(f"sources={short(sources)}")
    for name, part in splits.items():
        check_split(name, part, content.get("rows_per_shard"))


def _check_cardinalities(directory: Path, content: dict[str, Any]) -> None:
    """Raises if the cardinalities differ from those of the encoder."""
    path, ids = directory / VOCABULARY, content["ids"]
    wanted: list[int] | None
    if ids["policy"] == "vocabulary":
        if not path.is_file():
            raise FileNotFoundError(
                f"A folder with ids='vocabulary' must hold {VOCABULARY}. "
                f"Received: directory={str(directory)!r}. {AGAIN}"
            )
        try:
            with open_arrays(path) as arrays:
                names = [f"counts_{name}" for name in schema.CATEGORIES]
                wanted = [arrays.shape(name)[0] for name in names]
        except (IndexError, ValueError) as error:
            raise ValueError(
                f"{path} must be written by `criteo.prepare`. {AGAIN} "
                f"Received: {error}"
            ) from error
    elif ids["buckets"] is None:
        wanted = None
    else:
        wanted = [ids["buckets"]] * schema.NUM_CATEGORIES
    if content["cardinalities"] != wanted:
        raise ValueError(
            f"{directory / NAME} must have the cardinalities {wanted} of its "
            f"encoder. {AGAIN} Received: {content['cardinalities']}"
        )
