"""The folder through which the caller and all workers exchange files."""

import io
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

_logger = logging.getLogger(__name__)

_BINARY = "application/octet-stream"
_CHUNK = 1 << 24


class Exchange:
    """Writes and reads whole files in a folder of any of Beam's file systems.

    Each file has a name of its own, which its writer tells to its readers.

    Args:
        folder: A path or URL that exists, or whose file system has no
            folders.
    """

    def __init__(self, folder: str):
        self.folder = folder

    def path(self, name: str) -> str:
        """The path or URL of a file."""
        return FileSystems.join(self.folder, name)

    def write(self, kind: str, data: bytes) -> str:
        """Writes a new file; returns its name."""
        name = f"{kind}-{uuid.uuid4().hex}"
        with FileSystems.create(
            self.path(name), _BINARY, CompressionTypes.UNCOMPRESSED
        ) as file:
            file.write(data)
        return name

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        with self.open(name) as file:
            return file.read()

    def open(self, name: str) -> Any:
        """Opens a file for reading."""
        return FileSystems.open(
            self.path(name), _BINARY, CompressionTypes.UNCOMPRESSED
        )

    def copy(self, name: str, file: Any) -> None:
        """Copies a file into an open one of this machine."""
        with self.open(name) as source:
            while data := source.read(_CHUNK):
                file.write(data)

    def write_frame(self, kind: str, frame: pl.DataFrame) -> str:
        """Writes a frame to a new file; returns its name."""
        held = io.BytesIO()
        frame.write_ipc(held, compression="lz4")
        return self.write(kind, held.getvalue())

    def read_frame(self, name: str) -> pl.DataFrame:
        """Reads what `write_frame` has written."""
        return pl.read_ipc(io.BytesIO(self.read(name)))

    def write_items(self, kind: str, items: Iterable[Any]) -> str:
        """Writes JSON values to a new file; returns its name."""
        lines = "".join(f"{json.dumps(item)}\n" for item in items)
        return self.write(kind, lines.encode())

    def read_items(self, name: str) -> list[Any]:
        """Reads what `write_items` has written."""
        return [json.loads(line) for line in self.read(name).splitlines()]

    def add_number(self, name: str, number: int) -> None:
        """Adds a number to a file, if the folder is one of a machine."""
        if self._local:
            data = np.array([number], "<i8").tobytes()
            # What is counted so is only shown.
            with (
                suppress(OSError),
                open(self.path(name), "ab", buffering=0) as file,
            ):
                file.write(data)

    def sum_of_numbers(self, name: str) -> int:
        """The sum of what `add_number` has added, 0 in another folder."""
        if not self._local:
            return 0
        return int(np.fromfile(self.path(name), "<i8").sum())

    def rename(self, name: str, to: str) -> None:
        """Gives a file a name that is known in advance."""
        FileSystems.rename([self.path(name)], [self.path(to)])

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return FileSystems.exists(self.path(name))

    def remove_all(self, kind: str) -> None:
        """Deletes the files of a kind early, if the folder is of a machine."""
        if self._local:
            for entry in os.scandir(self.folder):
                if entry.name.startswith(f"{kind}-"):
                    os.unlink(entry.path)

    @property
    def _local(self) -> bool:
        return FileSystems.get_scheme(self.folder) is None

    def remove(self) -> None:
        """Deletes the folder with all of its files."""
        if self._local:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        try:
            FileSystems.delete([f"{self.folder}/"])
        except BeamIOError as error:  # the result is there all the same
            _logger.warning("Delete %s yourself: %s", self.folder, error)
