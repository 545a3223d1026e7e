"""Splits of datasets of TFDS, as sources of a log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_pss.data.readers.source import Source, Sources, as_sources
from keras_pss.data.readers.tfds.names import PREFIX, is_tfds, open_dataset


@dataclass
class TFDSSplit(Source):
    """One split of a dataset, or a slice of one.

    Args:
        path: Its name, `"tfds:NAME/CONFIG:VERSION[SPLIT]"`; no file.
        builder: A TFDS builder whose dataset is prepared.
        split: The split in TFDS' syntax.
    """

    builder: Any = None
    split: str = ""

    def __post_init__(self) -> None:
        self.size = sum(path.stat().length for path in self.files)

    @property
    def name(self) -> str:
        return str(self.path).removeprefix(PREFIX)

    @property
    def part(self) -> str:
        """Name of the split, without a slice."""
        return self.split.partition("[")[0]

    @property
    def files(self) -> list[Any]:
        """The files that the rows are in, each once."""
        return list(dict.fromkeys(self._info.filepaths))

    @property
    def num_rows(self) -> int:
        return int(self._info.num_examples)

    def rows_of_files(self) -> Iterator[tuple[str, range]]:
        """The rows that are read of each file, where there are any."""
        for part in self._info.file_instructions:
            rows = range(part.examples_in_shard)[part.skip :]
            rows = rows if part.take == -1 else rows[: part.take]
            if rows:
                yield str(part.filename), rows

    def checksum(self) -> str:
        """SHA-256 of the bytes of all files, one after the other."""
        digest = hashlib.sha256()
        for path in self.files:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        return digest.hexdigest()

    @property
    def _info(self) -> Any:
        return self.builder.info.splits[self.split]


def log_sources(sources: Sources) -> list[Source]:
    """Files and splits of datasets, in the order of their names.

    Raises:
        ValueError, FileNotFoundError: As `as_sources` and `open_dataset`; or
            if splits overlap.
    """
    paths = [sources] if isinstance(sources, str | Path) else list(sources)
    files = [path for path in paths if not is_tfds(path)]
    checked = iter(as_sources(files) if files or not paths else [])
    found: list[Source] = []
    for path in paths:
        if is_tfds(path):
            found += split_sources(str(path))
        else:
            found.append(next(checked))
    _check_overlap([s for s in found if isinstance(s, TFDSSplit)])
    return found


def _check_overlap(splits: list[TFDSSplit]) -> None:
    """Raises if two splits share rows, which could train and test then."""
    read: dict[str, list[tuple[range, TFDSSplit]]] = {}
    for split in splits:
        for name, rows in split.rows_of_files():
            for others, other in read.setdefault(name, []):
                if max(rows[0], others[0]) <= min(rows[-1], others[-1]):
                    raise ValueError(
                        "`sources` must name each row once. Name splits or "
                        "slices that do not overlap. Received: "
                        f"{other.path} and {split.path}"
                    )
            read[name].append((rows, split))


def split_sources(source: str) -> list[TFDSSplit]:
    """The splits that a name means, in order.

    Raises:
        ValueError: As `open_dataset`.
    """
    found = open_dataset(source)
    return [
        TFDSSplit(
            Path(f"{PREFIX}{found.dataset}[{split}]"), found.builder, split
        )
        for split in found.splits
    ]
