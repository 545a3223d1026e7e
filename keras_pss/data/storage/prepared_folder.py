"""A prepared log on disk, of any schema."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.storage import vocabulary_file
from keras_pss.data.storage.log_layout import LogLayout
from keras_pss.data.storage.verification import verify
from keras_pss.features import Dense, Schema

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class PreparedFolder:
    """A folder written by `prepare`; `load` opens it.

    Args:
        directory: Path of the folder.
        metadata: Content of its `metadata.json`.
        schema: The schema of the log.
        layout: The layout of a record.
    """

    directory: Path
    metadata: dict[str, Any] = field(repr=False, compare=False)
    schema: Schema = field(repr=False)
    layout: LogLayout = field(repr=False)

    @property
    def tables(self) -> dict[str, int | None]:
        """Number of ids of each table, or None for open ids."""
        entries = self.metadata["tables"]
        return {name: entry["rows"] for name, entry in entries.items()}

    @property
    def cardinalities(self) -> list[int | None]:
        """Number of ids of each single-valued feature, None for open ids."""
        tables = self.tables
        return [tables[feature.table] for feature in self.schema.single]

    @property
    def statistics(self) -> dict[str, dict[str, list[float]]]:
        """What was learned of dense features, by their names.

        `"missing"` fills missing values; `"mean"` and `"deviation"` belong to
        the transform `"standard"`; `"borders"` belong to `"buckets"`.
        """
        return self.metadata["statistics"]

    def transform(
        self,
    ) -> tuple[
        npt.NDArray[np.bool_],
        npt.NDArray[np.float32],
        npt.NDArray[np.float32],
    ]:
        """What `ops.dense_transform.transform_dense` needs.

        Returns:
            For each number of the dense features, all (n,): whether it has a
            logarithm, its mean, and its deviation.
        """
        logarithmic: list[bool] = []
        mean: list[float] = []
        deviation: list[float] = []
        for feature in self.schema.dense:
            size = feature.size
            found = self.statistics.get(feature.name, {})
            logarithmic += [feature.transform == "log1p"] * size
            mean += found.get("mean", [0.0] * size)
            deviation += found.get("deviation", [1.0] * size)
        return (
            np.array(logarithmic, bool),
            np.array(mean, np.float32),
            np.array(deviation, np.float32),
        )

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

    def vocabulary(self, table: str) -> "pl.Series":
        """Texts of a table; the text at position i has the id i + 1.

        Raises:
            ValueError: The table does not exist or has no texts, or the file
                is damaged.
        """
        return self._vocabulary(table).values

    def _vocabulary(self, table: str) -> Vocabulary:
        start = 0
        for name, entry in self.metadata["tables"].items():
            if name == table and "oov" in entry:
                break
            start += entry["rows"] - 1 if "oov" in entry else 0
        else:
            with_texts = [
                name
                for name, entry in self.metadata["tables"].items()
                if "oov" in entry
            ]
            raise ValueError(
                "`table` must be a table with ids='vocabulary': "
                f"{', '.join(with_texts) or 'there is none'}. "
                f"Received: table={table!r}"
            )
        return vocabulary_file.read(
            self.directory, table, start, entry["rows"] - 1, entry["oov"]
        )

    def counts(self, name: str) -> npt.NDArray[np.int64]:
        """Count of each id of a feature in all rows except the test rows.

        Features of one table are counted together.

        Args:
            name: Name of a feature with ids.

        Returns:
            int64 (ids,); the count of id 0 is the number of values that have
            no id of their own, or of missing values with buckets.

        Raises:
            ValueError: There is no such feature, or its ids are hashed, so
                they were not counted.
        """
        with_ids = {
            f.name: f for f in (*self.schema.single, *self.schema.multi)
        }
        if name not in with_ids:
            raise ValueError(
                f"`name` must be one of {', '.join(with_ids)}. "
                f"Received: name={name!r}"
            )
        feature = with_ids[name]
        if isinstance(feature, Dense):
            counts = self.metadata["tables"][name]["counts"]
            return np.array(counts, np.int64)
        if feature.ids == "hash":
            raise ValueError(
                "`counts` needs a vocabulary. Received: a feature with "
                f"ids='hash', name={name!r}. Prepare the data with "
                "ids='vocabulary'."
            )
        return self._vocabulary(feature.table).counts

    def verify(self) -> None:
        """Reads every file and compares it with the metadata.

        Raises:
            ValueError: A shard or the vocabulary has changed.
        """
        verify(self)
