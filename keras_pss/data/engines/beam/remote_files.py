"""Files of a log in any of Beam's file systems."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from keras_pss.data.readers.source import Source, Sources
from keras_pss.data.readers.tfds.names import is_tfds
from keras_pss.data.readers.tfds.split_source import log_sources

_CHUNK = 1 << 24


@dataclass
class RemoteFile(Source):
    """A file with a URL such as `gs://bucket/day1.csv.gz`.

    Args:
        path: The URL.
    """

    path: Any

    def __post_init__(self) -> None:
        (match,) = FileSystems.match([self.path])
        if len(match.metadata_list) != 1:
            raise ValueError(
                "`sources` must name files that exist, each by a URL of its "
                f"own. Received: {self.path!r}, which is "
                f"{len(match.metadata_list)} files"
            )
        self.size = match.metadata_list[0].size_in_bytes

    @property
    def name(self) -> str:
        return str(self.path).rpartition("/")[2]


def is_url(path: str | Path) -> bool:
    """Whether a source is in another file system than that of the machine."""
    return "://" in str(path) and not is_tfds(path)


def all_sources(sources: Sources) -> list[Source]:
    """Files, URLs and splits of datasets, in order.

    Raises:
        ValueError, FileNotFoundError: As `log_sources`; or a URL is no file
            or is given twice.
    """
    paths: Sequence[str | Path]
    paths = [sources] if isinstance(sources, str | Path) else list(sources)
    urls = [str(path) for path in paths if is_url(path)]
    for url in urls:
        if urls.count(url) > 1:  # its rows would be in training and test alike
            raise ValueError(
                "`sources` must name each file once. Received: "
                f"{url!r} {urls.count(url)} times. Remove the repetition."
            )
    others = [path for path in paths if not is_url(path)]
    known = log_sources(others) if others or not paths else []
    if not urls:
        return known
    # One name of a dataset may mean several splits.
    found: list[Source] = []
    for path in paths:
        if is_url(path):
            found.append(RemoteFile(str(path)))
        else:
            found += log_sources(path)
    return found


def worker_path(source: Source) -> str:
    """What a worker calls a source."""
    path = str(source.path)
    return path if is_tfds(path) or is_url(path) else os.path.abspath(path)


@contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A path of this machine; a file elsewhere is copied for the while."""
    if not is_url(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="keras-pss-") as folder:
        copy = os.path.join(folder, path.rpartition("/")[2])
        with (
            FileSystems.open(
                path, compression_type=CompressionTypes.UNCOMPRESSED
            ) as source,
            open(copy, "wb") as file,
        ):
            while data := source.read(_CHUNK):
                file.write(data)
        yield copy
