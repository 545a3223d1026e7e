"""Base class of the tables that encode the texts of a log's categories."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

from keras_pss.data.readers.block import Int32Array, UInt32Array

if TYPE_CHECKING:
    import polars as pl

# In place of a code, where a list of categories has ended.
PADDING = 2**32 - 1


class TextTable(ABC):
    """Encodes the texts of all features that share a table.

    First every text becomes a code, then all codes that count are counted,
    and from then on `ids` maps codes to ids. A code `PADDING` becomes -1.
    Methods may be called by several threads at once.
    """

    @property
    @abstractmethod
    def num_ids(self) -> int | None:
        """Number of ids, or None if they are open."""

    @abstractmethod
    def codes(self, texts: "pl.Series") -> UInt32Array:
        """Codes uint32 (n,) of texts, String (n,) without nulls."""

    @abstractmethod
    def count(self, blocks: Iterable[UInt32Array]) -> None:
        """Counts codes, arrays of any shape, and gives ids to them."""

    @abstractmethod
    def ids(self, codes: UInt32Array) -> Int32Array:
        """Ids of the same shape as the codes."""
