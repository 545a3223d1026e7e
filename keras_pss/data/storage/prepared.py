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
from keras_pss.data.storage import metadata, records
from keras_pss.data.storage.metadata import VOCABULARY

# Bytes of a shard that are checked at once, whole records.
_CHUNK_BYTES = (1 << 15) * records.RECORD_BYTES


@dataclass(frozen=True)
class Prepared:
    """A folder that `criteo.prepare` made; `criteo.load` gives it again.

    Args:
        directory: The folder.
        metadata: Content of its `metadata.json`.
    """

    directory: Path
    metadata: dict[str, Any] = field(repr=False, compare=False)

    @property
    def cardinalities(self) -> list[int] | None:
        """Number of ids of each column (26), None where ids are open."""
        return self.metadata["cardinalities"]

    @property
    def splits(self) -> list[str]:
        """Names of the parts that have rows."""
        return list(self.metadata["splits"])

    @property
    def rejects(self) -> dict[str, int]:
        """Broken rows of the sources by reason."""
        return self.metadata["rejects"]

    @property
    def incomplete(self) -> list[str]:
        """Names of sources whose archive is broken, and the rest missing."""
        return [
            source["name"]
            for source in self.metadata.get("sources", [])
            if not source.get("complete", True)
        ]

    def rows(self, split: str) -> int:
        """Number of rows of a part; 0 where there is none."""
        return self.metadata["splits"].get(split, {}).get("rows", 0)

    def clicks(self, split: str) -> int:
        """Number of rows with label 1 of a part."""
        return self.metadata["splits"].get(split, {}).get("clicks", 0)

    def shards(self, split: str) -> list[Path]:
        """Files of a part, in order.

        Raises:
            ValueError: There is no such part.
        """
        if split not in self.metadata["splits"]:
            raise ValueError(
                f"`split` must be one of {', '.join(self.splits)} in "
                f"{self.directory}. Received: split={split!r}. Prepare the "
                "data with a fraction above 0 for this part."
            )
        entries = self.metadata["splits"][split]["shards"]
        return [self.directory / entry["name"] for entry in entries]

    def encoder(self) -> IdEncoder:
        """Maps raw categories as the shards' ids were made."""
        policy = self.metadata["ids"]
        if policy["policy"] != "vocabulary":
            return from_config(policy, {})
        encoder = load_encoder(self.directory / VOCABULARY)
        if encoder.config() != policy:
            raise ValueError(
                f"{self.directory / VOCABULARY} must be of {policy}. "
                f"Received: {encoder.config()}. Copy the folder again or "
                "prepare the data again."
            )
        return encoder

    def counts(self, column: int) -> npt.NDArray[np.int64]:
        """How often each id of a column occurs in the development rows.

        Those are all rows that are not for testing.

        Args:
            column: 0 to 25.

        Returns:
            int64 (cardinality,); at id 0 the rows whose value was dropped.

        Raises:
            ValueError: The ids are hashes, which are not counted.
        """
        if self.metadata["ids"]["policy"] != "vocabulary":
            raise ValueError(
                "`counts` must be asked of a vocabulary. Received: a folder "
                "with ids='hash'. Prepare the data with ids='vocabulary'."
            )
        with open_arrays(self.directory / VOCABULARY) as arrays:
            return arrays[f"counts_{schema.CATEGORIES[column]}"]

    def verify(self) -> None:
        """Compares every shard with the metadata; reads all of them.

        Raises:
            ValueError: A shard or the vocabulary has changed.
        """
        self.encoder()  # the archive has checksums of its own
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
            while data := file.read(_CHUNK_BYTES):
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
    """Opens a folder that `prepare` made.

    Raises:
        FileNotFoundError: It has no metadata, or lacks a shard.
        ValueError: Another version, or a shard of a wrong size.
    """
    directory = Path(directory)
    return Prepared(directory, metadata.read(directory))
