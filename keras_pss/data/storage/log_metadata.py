"""The `metadata.json` of a prepared log: its format and its checks.

A folder may come from an untrusted source, so every entry is validated before
use: file names cannot point outside the folder, and numbers must agree with
each other, with the schema and with the files.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

from keras_pss.data.encoders import vocabulary_file
from keras_pss.data.storage.log_layout import LogLayout
from keras_pss.data.storage.shard_checks import (
    AGAIN,
    check_size,
    check_split,
    is_count,
    is_sha256,
    short,
)
from keras_pss.data.storage.splits import SPLITS
from keras_pss.features import Dense, Schema
from keras_pss.files import read_json, write_json

NAME = "metadata.json"
FORMAT = "keras_pss.log"
VERSION = 2


class Checked(NamedTuple):
    """A valid metadata file, and the schema and layout that it holds."""

    content: dict[str, Any]
    schema: Schema
    layout: LogLayout


def is_prepared(directory: Path) -> bool:
    """Whether a folder is a prepared log of any version."""
    return (directory / NAME).is_file()


def write(directory: Path, content: dict[str, Any]) -> None:
    """Writes the file: format and version, then `content`."""
    document = {"format": FORMAT, "version": VERSION, **content}
    write_json(document, directory / NAME)


def read(directory: Path) -> Checked:
    """Reads the file and checks it against the files that it names.

    Raises:
        FileNotFoundError: The metadata or a file that it names is missing.
        ValueError: The format or version is unknown, entries do not agree,
            or a file has the wrong size.
    """
    path = directory / NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"`folder` must hold a {NAME} written by `prepare`. Received: "
            f"folder={str(directory)!r}. Prepare the data first."
        )
    content = read_json(path, AGAIN)
    named, version = content.get("format"), content.get("version")
    if named != FORMAT or version != VERSION:
        raise ValueError(
            f"{path} must have format {FORMAT!r} and version {VERSION}. "
            f"Received: format={short(named)}, version={short(version)}. "
            "Prepare the data again with this version of keras_pss."
        )
    try:
        schema, layout = _check(content)
    except (RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must be written by `prepare`: {str(error)[:1000]}. {AGAIN}"
        ) from error
    check_shards(directory, content, layout)
    if content["vocabulary"] is not None:
        size = content["vocabulary"]["bytes"]
        check_size(directory / vocabulary_file.NAME, size, NAME)
    return Checked(content, schema, layout)


def check_encoding(content: dict[str, Any]) -> Schema:
    """Checks the entries that new rows need; returns the schema.

    Raises:
        ValueError: They do not agree with each other.
    """
    if not isinstance(content.get("schema"), dict):
        raise ValueError(f"schema={short(content.get('schema'))}")
    schema = Schema.from_dict(content["schema"])
    _check_statistics(schema, content.get("statistics"))
    _check_tables(schema, content)
    return schema


def _check(content: dict[str, Any]) -> tuple[Schema, LogLayout]:
    """Raises ValueError if the entries do not agree with each other."""
    schema = check_encoding(content)
    layout = _check_layout(schema, content.get("layout"))
    check_rows(schema, content)
    return schema, layout


def check_rows(schema: Schema, content: dict[str, Any]) -> None:
    """Checks the entries that describe the rows of a folder.

    Raises:
        ValueError: They do not agree with each other.
    """
    rejects, splits = content.get("rejects"), content.get("splits")
    if not isinstance(rejects, dict) or not all(
        is_count(count) for count in rejects.values()
    ):
        raise ValueError(f"rejects={short(rejects)}")
    if not isinstance(splits, dict) or not (
        {"train"} <= set(splits) <= set(SPLITS)
    ):
        raise ValueError(f"splits={short(splits)}")
    sources = content.get("sources")
    if not isinstance(sources, list) or not all(map(_is_source, sources)):
        raise ValueError(f"sources={short(sources)}")
    for name, part in splits.items():
        check_split(
            name,
            part,
            content.get("rows_per_shard"),
            labelled=schema.label is not None,
        )


def check_shards(
    directory: Path, content: dict[str, Any], layout: LogLayout
) -> None:
    """Raises unless every shard exists and has the size of its rows."""
    for part in content["splits"].values():
        for shard in part["shards"]:
            size = shard["rows"] * layout.record_bytes
            check_size(directory / shard["name"], size, NAME)


def _is_source(source: Any) -> bool:
    return (
        isinstance(source, dict)
        and isinstance(source.get("name"), str)
        and is_sha256(source.get("sha256"))
    )


def _check_layout(schema: Schema, entries: Any) -> LogLayout:
    """The layout of the entries, which must be that of the schema.

    Only the dtype of an integer feature depends on the rows.
    """
    wide = {
        name: "float32"
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict)
        and isinstance(name := entry.get("name"), str)
        and entry.get("dtype") == "float32"
    }
    layout = LogLayout.of_schema(schema, wide)
    # Compared as text, where True and 1 differ.
    if repr(entries) != repr(layout.to_list()):
        raise ValueError(f"layout={short(entries)}")
    return layout


def _check_statistics(schema: Schema, entries: Any) -> None:
    wanted: dict[str, dict[str, int]] = {}
    for feature in schema.features:
        if isinstance(feature, Dense):
            sizes = {}
            if feature.missing == "mean":
                sizes["missing"] = feature.size
            if feature.transform == "standard":
                sizes |= {"mean": feature.size, "deviation": feature.size}
            if feature.transform == "buckets":
                sizes["borders"] = (feature.num_buckets or 0) - 1
            if sizes:
                wanted[feature.name] = sizes
    if not isinstance(entries, dict) or set(entries) != set(wanted):
        raise ValueError(f"statistics={short(entries)}")
    for name, sizes in wanted.items():
        found = entries[name]
        if not isinstance(found, dict) or set(found) != set(sizes):
            raise ValueError(f"statistics={short(found)} of {name!r}")
        for key, size in sizes.items():
            numbers = found[key]
            if not (
                isinstance(numbers, list)
                and len(numbers) == size
                and all(map(_is_number, numbers))
                and (key != "borders" or sorted(numbers) == numbers)
                and (key != "deviation" or min(numbers) >= 0)
            ):
                raise ValueError(f"{key}={short(numbers)} of {name!r}")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _check_tables(schema: Schema, content: dict[str, Any]) -> None:
    entries = content.get("tables")
    if not isinstance(entries, dict) or list(entries) != list(schema.tables):
        raise ValueError(f"tables={short(entries)}")
    texts, has_texts = 0, False
    for name, (first, *_) in schema.tables.items():
        entry = entries[name]
        if not isinstance(entry, dict):
            raise ValueError(f"{short(entry)} for the table {name!r}")
        if isinstance(first, Dense):
            good = _is_bucketed(entry, first)
        elif first.ids == "hash":
            good = repr(entry) == repr({"rows": first.buckets})
        else:
            good = (
                set(entry) == {"rows", "oov"}
                and all(map(is_count, entry.values()))
                and 1 <= entry["rows"] <= 1 + (first.max_values or 2**31)
            )
            texts, has_texts = texts + (entry["rows"] - 1 if good else 0), True
        if not good:
            raise ValueError(f"{short(entry)} for the table {name!r}")
    held = content.get("vocabulary")
    if not has_texts and held is None:
        return
    if not (
        has_texts
        and isinstance(held, dict)
        and held.get("rows") == texts
        and is_count(held.get("rows"))
        and is_count(held.get("bytes"))
        and is_sha256(held.get("sha256"))
    ):
        raise ValueError(f"vocabulary={short(held)}, {texts} texts in tables")


def _is_bucketed(entry: dict[str, Any], feature: Dense) -> bool:
    rows, counts = entry.get("rows"), entry.get("counts")
    return (
        set(entry) == {"rows", "counts"}
        and is_count(rows)
        and rows == (feature.num_buckets or 0) + 1
        and isinstance(counts, list)
        and len(counts) == rows
        and all(map(is_count, counts))
    )
