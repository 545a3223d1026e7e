"""The `encoder` of a run: what encodes new rows as its training rows were."""

import shutil
from pathlib import Path
from typing import Any

from keras_pss.data.encoders import vocabulary_file
from keras_pss.data.storage import log_metadata
from keras_pss.data.storage.log_encoding import LogEncoding
from keras_pss.data.storage.shard_checks import AGAIN, check_size, short
from keras_pss.files import complete_folder, read_json, write_json

NAME = "encoder.json"
FORMAT = "keras_pss.encoder"
VERSION = 1

_ENTRIES = ("schema", "statistics", "tables", "vocabulary")


def save(encoding: LogEncoding, path: Path) -> None:
    """Writes a folder with all that new rows need.

    Args:
        encoding: A prepared log, or another encoder.
        path: The folder to write; an encoder is replaced.
    """
    content = {name: encoding.metadata[name] for name in _ENTRIES}
    with complete_folder(
        path, True, "an encoder", lambda folder: (folder / NAME).is_file()
    ) as folder:
        if content["vocabulary"] is not None:
            name = vocabulary_file.NAME
            shutil.copyfile(encoding.directory / name, folder / name)
        document = {"format": FORMAT, "version": VERSION, **content}
        write_json(document, folder / NAME)


def load(path: Path) -> LogEncoding:
    """Opens a folder that `save` wrote.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is damaged or has another version.
    """
    file = path / NAME
    if not file.is_file():
        raise FileNotFoundError(
            f"`path` must hold an {NAME}. Received: path={str(path)!r}. {AGAIN}"
        )
    content: dict[str, Any] = read_json(file, AGAIN)
    named, version = content.get("format"), content.get("version")
    if named != FORMAT or version != VERSION:
        raise ValueError(
            f"{file} must have format {FORMAT!r} and version {VERSION}. "
            f"Received: format={short(named)}, version={short(version)}."
        )
    try:
        schema = log_metadata.check_encoding(content)
    except (RecursionError, ValueError) as error:
        raise ValueError(
            f"{file} must be written by a run: {str(error)[:1000]}. {AGAIN}"
        ) from error
    held = content["vocabulary"]
    if held is not None:
        check_size(path / vocabulary_file.NAME, held["bytes"], NAME)
    return LogEncoding(path, content, schema)
