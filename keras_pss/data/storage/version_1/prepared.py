"""A prepared click log on disk."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_pss.arrays import open_arrays
from keras_pss.data.criteo import schema
from keras_pss.data.encoders.encoder_file import from_config, load_encoder
from keras_pss.data.encoders.id_encoder import IdEncoder
from keras_pss.data.storage.version_1 import metadata, records
from keras_pss.data.storage.version_1.metadata import VOCABULARY

# Bytes of a shard that are checked at a time, in whole records.
_BLOCK_BYTES = (1 << 15) * records.RECORD_BYTES


@dataclass(frozen=True)
class Prepared:
    """A folder written by `criteo.prepare`; `criteo.load` opens it.

    Args:
        directory: Path of the folder.
        metadata: Content of its `metadata.json`.
    """

    directory: Path
    metadata: dict[str, Any] = field(repr=False, compare=False)

    @property
    def cardinalities(self) -> list[int] | None:
        """Number of ids of each of the 26 columns, or None for open ids."""
        return self.metadata["cardinalities"]

    @property
    def splits(self) -> list[str]:
        """Names of the splits that have rows."""
        return list(self.metadata["splits"])

    @property
    def rejects(self) -> dict[str, int]:
        """Number of broken rows of the sources by reason."""
        return self.metadata["rejects"]

    @property
    def incomplete(self) -> list[str]:
        """Names of the sources whose archive is truncated or corrupt."""
        return [
            source["name"]
            for source in self.metadata.get("sources", [])
            if not source.get("complete", True)
        ]

    def rows(self, split: str) -> int:
        """Number of rows of a split, 0 if the split does not exist."""
        return self.metadata["splits"].get(split, {}).get("rows", 0)

    def clicks(self, split: str) -> int:
        """Number of rows of a split with label 1."""
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

    def encoder(self) -> IdEncoder:
        """The encoder that produced the ids of the shards."""
        policy = self.metadata["ids"]
        if policy["policy"] != "vocabulary":
            return from_config(policy, {})
        encoder = load_encoder(self.directory / VOCABULARY)
        if encoder.config() != policy:
            raise ValueError(
                f"{self.directory / VOCABULARY} must have the config {policy}. "
                f"Received: {encoder.config()}. Copy the folder again or "
                "prepare the data again."
            )
        return encoder

    def counts(self, column: int) -> npt.NDArray[np.int64]:
        """Count of each id of a column in all rows except the test rows.

        Args:
            column: Index of the categorical column, 0 to 25.

        Returns:
            int64 (cardinality,); the count of id 0 is the number of rows
            whose value was dropped.

        Raises:
            ValueError: The ids are hashed, so they were not counted.
        """
        if self.metadata["ids"]["policy"] != "vocabulary":
            raise ValueError(
                "`counts` needs a vocabulary. Received: a folder with "
                "ids='hash'. Prepare the data with ids='vocabulary'."
            )
        with open_arrays(self.directory / VOCABULARY) as arrays:
            return arrays[f"counts_{schema.CATEGORIES[column]}"]

    def verify(self) -> None:
        """Reads every shard and compares it with the metadata.

        Raises:
            ValueError: A shard or the vocabulary has changed.
        """
        self.encoder()  # the archive's checksums detect changes
        limits = np.array(
            self.cardinalities or [2**31] * len(schema.CATEGORIES)
        )
        for part in self.metadata["splits"].values():
            for shard in part["shards"]:
                self._verify(shard, limits)

    def _verify(self, shard: dict[str, Any], limits: np.ndarray) -> None:
        path = self.directory / shard["name"]
        digest = hashlib.sha256()
        clicks, fits = 0, True
        with open(path, "rb") as file:
            while data := file.read(_BLOCK_BYTES):
                digest.update(data)
                rows = np.frombuffer(data, records.DTYPE)
                rows = rows.reshape(-1, schema.NUM_COLUMNS)
                clicks += int(rows[:, 0].sum(dtype=np.int64))
                ids = rows[:, records.FIRST_ID :]
                fits &= bool(
                    (ids.min(0) >= 0).all() and (ids.max(0) < limits).all()
                )
        again = "Copy the folder again or prepare the data again."
        if digest.hexdigest() != shard["sha256"]:
            raise ValueError(
                f"{path} must have sha256 {shard['sha256']}. "
                f"Received: {digest.hexdigest()}. {again}"
            )
        if clicks != shard["clicks"] or not fits:
            raise ValueError(
                f"{path} must hold {shard['clicks']} clicks and ids below the "
                f"cardinalities in {metadata.NAME}. Received: {clicks} "
                f"clicks, ids that are {'' if fits else 'not '}below. {again}"
            )


def load(directory: str | Path) -> Prepared:
    """Opens a folder that `prepare` wrote.

    Raises:
        FileNotFoundError: The metadata or a shard is missing.
        ValueError: The metadata is invalid or has another version, or a
            shard has the wrong size.
    """
    directory = Path(directory)
    return Prepared(directory, metadata.read(directory))
