"""What turns the raw categories of a click log into ids."""

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

    `VocabularyEncoder` and `HashEncoder` are the two policies. An encoder is
    immutable, and may be used from several threads.
    """

    @property
    @abstractmethod
    def cardinalities(self) -> list[int] | None:
        """Number of ids of each column, None where ids are open."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The policy and its parameters as JSON values."""

    @abstractmethod
    def arrays(self) -> dict[str, Any]:
        """The state beside `config`."""

    @abstractmethod
    def encode(self, categories: UInt32Array) -> Int32Array:
        """What a call does, without its checks."""

    def __call__(self, categories: UInt32Array) -> Int32Array:
        """Encodes rows.

        Args:
            categories: Raw values, uint32 (n, 26).

        Returns:
            Ids int32 (n, 26).

        Raises:
            ValueError: Another shape or type.
        """
        categories = np.asarray(categories)
        shape = (schema.NUM_CATEGORIES,)
        if categories.dtype != np.uint32 or categories.shape[1:] != shape:
            raise ValueError(
                "`categories` must be uint32 of shape (n, 26). Received: "
                f"{categories.dtype} of shape {categories.shape}. Pass a "
                "block's `categories` as TsvReader gives them."
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
