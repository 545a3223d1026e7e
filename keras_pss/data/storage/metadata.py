"""The `metadata.json` of a prepared folder: its format and its checks."""

import json
from pathlib import Path
from typing import Any

from keras_pss.data.criteo import schema
from keras_pss.data.storage import records

NAME = "metadata.json"
FORMAT = "keras_pss.criteo"
VERSION = 1


def write(directory: Path, content: dict[str, Any]) -> None:
    """Writes the file; `content` goes after format, version and columns."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "columns": list(schema.COLUMNS),
        **content,
    }
    text = json.dumps(document, indent=2) + "\n"
    (directory / NAME).write_text(text, encoding="utf-8")


def read(directory: Path) -> dict[str, Any]:
    """Reads the file and checks that what it names is there.

    Raises:
        FileNotFoundError: No metadata, or a missing file.
        ValueError: Another format or version, or a file of a wrong size.
    """
    path = directory / NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"`directory` must hold {NAME}, as `criteo.prepare` writes it. "
            f"Received: directory={str(directory)!r}. Prepare the data first."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        named = content["format"]
        version = content["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must be the JSON that `criteo.prepare` writes. "
            f"Received: {error!r}. Prepare the data again."
        ) from error
    if named != FORMAT or version != VERSION:
        raise ValueError(
            f"{path} must have format {FORMAT!r} and version {VERSION}. "
            f"Received: format={named!r}, version={version!r}. Prepare the "
            "data again with this version of keras_pss."
        )
    for part in content["splits"].values():
        for shard in part["shards"]:
            _check_size(
                directory / shard["name"],
                shard["rows"] * records.RECORD_BYTES,
            )
    return content


def _check_size(path: Path, size: int) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"A shard that {NAME} names must exist. Received: {str(path)!r}. "
            "Copy the folder again or prepare the data again."
        )
    if path.stat().st_size != size:
        raise ValueError(
            f"{path} must have {size} bytes. Received: "
            f"{path.stat().st_size} bytes. Copy the folder again or prepare "
            "the data again."
        )
