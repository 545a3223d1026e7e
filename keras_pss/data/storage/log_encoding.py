"""What a prepared log says of rows that are not in it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keras_pss.data.encoders import vocabulary_file
from keras_pss.data.encoders.hashed_texts import hash_texts
from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.readers.block import Int32Array
from keras_pss.features import Dense, Schema

if TYPE_CHECKING:
    import polars as pl

FARMHASH = "farmhash"


@dataclass(frozen=True)
class LogEncoding:
    """The schema, vocabularies and statistics of a prepared log.

    Args:
        directory: Path of the folder that holds them.
        metadata: Entries `schema`, `statistics`, `tables` and `vocabulary` of
            the log's `metadata.json`.
        schema: The schema of the log.
    """

    directory: Path
    metadata: dict[str, Any] = field(repr=False, compare=False)
    schema: Schema = field(repr=False)

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

    @property
    def hash_family(self) -> str:
        """Name of the hash of the features with `ids="hash"`."""
        return FARMHASH

    def hashed(self, feature: Any, texts: "pl.Series") -> Int32Array:
        """Ids int32 (n,) of a feature with `ids="hash"`, of texts (n,)."""
        return hash_texts(texts, feature.buckets)

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


def same_ids(one: LogEncoding, other: LogEncoding) -> bool:
    """Whether two logs give the same features to every row."""
    if (
        one.schema.features != other.schema.features
        or one.schema.time_features != other.schema.time_features
        or one.statistics != other.statistics
        or one.tables != other.tables
        or one.hash_family != other.hash_family
    ):
        return False
    with_texts = [n for n, x in one.metadata["tables"].items() if "oov" in x]
    return all(
        one.vocabulary(name).equals(other.vocabulary(name))
        for name in with_texts
    )
