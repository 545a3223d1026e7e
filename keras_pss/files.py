"""Folders and files that appear under their name only when complete."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def _sibling(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


@contextmanager
def complete_folder(
    path: Path, overwrite: bool, marker: str, argument: str = "out"
) -> Iterator[Path]:
    """A temporary folder beside `path`, renamed to it at the end.

    An exception, Ctrl-C included, removes the temporary folder and leaves
    `path` as it was.

    Args:
        path: The final name.
        overwrite: Replace a folder that is there.
        marker: A file that a folder must hold to be replaced, so that a wrong
            path does not delete something else.
        argument: What the caller calls `path`, for the messages.

    Raises:
        FileExistsError: `path` exists and may not be replaced.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"`{argument}` must be a new folder. Received: "
            f"{argument}={str(path)!r}, which exists. Pass overwrite=True "
            "to replace it."
        )
    if path.exists() and not (path / marker).is_file():
        raise FileExistsError(
            f"`{argument}` must hold {marker} to be replaced. Received: "
            f"{argument}={str(path)!r}, which does not. Choose another name."
        )
    path = path.resolve()  # behind a link, the folder itself is replaced
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(path)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            old = _sibling(path)
            path.rename(old)
            try:
                temporary.rename(path)
            except BaseException:
                old.rename(path)
                raise
            shutil.rmtree(old)
        else:
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """A temporary file name beside `path`, renamed to it at the end.

    The temporary name has the same suffix. An exception removes the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.tmp.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, path: Path) -> None:
    """Writes a text file in one piece."""
    with complete_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(content: dict[str, Any], path: Path) -> None:
    """Writes a JSON file in one piece."""
    write_text(json.dumps(content, indent=2) + "\n", path)
