"""Base class of the encoders of raw categories."""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.data.criteo import schema
from keras_pss.data.readers.block import Int32Array, UInt32Array
from keras_pss.files import complete_file


class IdEncoder(ABC):
    """Maps raw categories uint32 (n, 26) to ids int32 (n, 26).

    `VocabularyEncoder` and `HashEncoder` are the two policies. Encoders are
    immutable and thread-safe.
    """

    @property
    @abstractmethod
    def cardinalities(self) -> list[int] | None:
        """Number of ids of each column, or None for open ids."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The policy and its parameters as JSON values."""

    @abstractmethod
    def arrays(self) -> dict[str, Any]:
        """The arrays that, with `config`, define the encoder."""

    @abstractmethod
    def encode(self, categories: UInt32Array) -> Int32Array:
        """Encodes as `__call__` does, without checks."""

    def __call__(self, categories: UInt32Array) -> Int32Array:
        """Encodes rows.

        Args:
            categories: Raw values, uint32 (n, 26).

        Returns:
            Ids int32 (n, 26).

        Raises:
            ValueError: `categories` has another shape or dtype.
        """
        categories = np.asarray(categories)
        shape = (schema.NUM_CATEGORIES,)
        if categories.dtype != np.uint32 or categories.shape[1:] != shape:
            raise ValueError(
                "`categories` must be uint32 of shape (n, 26). Received: "
                f"{categories.dtype} of shape {categories.shape}. Pass the "
                "`categories` of a block of TsvReader."
            )
        return self.encode(categories)

    def save(self, path: str | Path) -> None:
        """Writes one `.npz` file that `load_encoder` reads."""
        config = json.dumps(self.config(), sort_keys=True)
        with (
            complete_file(Path(path)) as temporary,
            open(temporary, "wb") as file,
        ):
            np.savez(file, config=np.array(config), **self.arrays())
