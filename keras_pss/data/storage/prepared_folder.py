"""A prepared log on disk, of any schema."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage import encoder_folder
from keras_pss.data.storage.columns.label_counts import (
    LABELLED_ROWS,
    label_counts,
)
from keras_pss.data.storage.log_encoding import LogEncoding
from keras_pss.data.storage.log_layout import LogLayout
from keras_pss.data.storage.verification import verify
from keras_pss.features import Dense


@dataclass(frozen=True)
class PreparedFolder(LogEncoding):
    """A folder written by `prepare`; `load` opens it.

    Args:
        directory: Path of the folder.
        metadata: Content of its `metadata.json`.
        schema: The schema of the log.
        layout: The layout of a record.
    """

    layout: LogLayout = field(repr=False)

    @property
    def splits(self) -> list[str]:
        """Names of the splits that have rows."""
        return list(self.metadata["splits"])

    @property
    def sources(self) -> list[dict[str, Any]]:
        """`name`, `sha256` and more of each file that was prepared."""
        return self.metadata["sources"]

    @property
    def rejects(self) -> dict[str, int]:
        """Number of broken rows of the sources by reason."""
        return self.metadata["rejects"]

    @property
    def incomplete(self) -> list[str]:
        """Names of the sources whose archive is truncated or corrupt."""
        return [
            source["name"]
            for source in self.sources
            if not source.get("complete", True)
        ]

    def rows(self, split: str) -> int:
        """Number of rows of a split, 0 if the split does not exist."""
        return self.metadata["splits"].get(split, {}).get("rows", 0)

    def clicks(self, split: str) -> int:
        """Number of rows of a split with label 1.

        Raises:
            ValueError: The schema has no label.
        """
        if self.schema.label is None:
            raise ValueError(
                "`clicks` needs a label. Received: a schema without one. "
                "Add it to the schema and prepare the data again."
            )
        return self.metadata["splits"].get(split, {}).get("clicks", 0)

    def counted_tables(self) -> tuple[str, ...]:
        """Names of the tables whose ids descend by their counts."""
        return tuple(
            name
            for name, (first, *_) in self.schema.tables.items()
            if not isinstance(first, Dense) and first.ids == "vocabulary"
        )

    def table_counts(self, table: str) -> np.ndarray:
        """Count of each id of a counted table, over all of its features."""
        return self.counts(self.schema.tables[table][0].name)

    def label_counts(
        self, most_rows: int = LABELLED_ROWS
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """For each counted table the rows of each id, and those with a click.

        The training rows are read once, a shard at a time; of a long log the
        first rows of each shard.

        Args:
            most_rows: Integer, the number of rows to read. What ids say about
                clicks is known well enough from a few million.

        Raises:
            ValueError: The schema has no label, or there is no training row.
        """
        return label_counts(self, most_rows)

    def shards(self, split: str) -> list[Path]:
        """Files of a split, in order.

        Raises:
            ValueError: The split does not exist.
        """
        if split not in self.metadata["splits"]:
            raise ValueError(
                f"`split` must be one of {', '.join(self.splits)} in "
                f"{self.directory}. Received: split={split!r}. Prepare the "
                "data with a fraction above 0 for this split."
            )
        entries = self.metadata["splits"][split]["shards"]
        return [self.directory / entry["name"] for entry in entries]

    def column(self, split: str, name: str, kind: str | None = None) -> Any:
        """Reads one column of the records of a split.

        Args:
            split: Name of the split.
            name: Name of a feature, or `"label"` or `"group"`.
            kind: A kind of `log_layout.KINDS`, such as `"weights"`. Default:
                the first column of the name.

        Returns:
            A NumPy array int32 or float32, (rows,) or (rows, width).
        """
        place = self.layout.find(name, kind)
        at = slice(place.offset, place.offset + place.width)
        parts = [
            np.ascontiguousarray(
                np.fromfile(path, "<i4").reshape(-1, self.layout.words)[:, at]
            )
            for path in self.shards(split)
        ]
        values = np.concatenate(parts).view(place.dtype)
        return values[:, 0] if place.width == 1 else values

    def groups(self, split: str) -> Int32Array:
        """Number of the group of each row of a split, in order.

        Groups are numbered 0, 1, 2, ... over all splits. A pipeline does not
        yield them, so that no model reads them.

        Raises:
            ValueError: The schema has no group, or the split does not exist.
        """
        if self.schema.group is None:
            raise ValueError(
                "`groups` needs a group. Received: a schema without one. "
                "Add it to the schema and prepare the data again."
            )
        return self.column(split, "group", "group")

    def save_encoder(self, path: Path) -> None:
        """Writes all that new rows need; `encoder_folder.load` reads it."""
        encoder_folder.save(self, path)

    def verify(self) -> None:
        """Reads every file and compares it with the metadata.

        Raises:
            ValueError: A shard or the vocabulary has changed.
        """
        verify(self)
