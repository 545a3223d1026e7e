"""Codes of texts whose number is not known in advance."""

from typing import TYPE_CHECKING, Any

from keras_pss.data.readers.block import UInt32Array

if TYPE_CHECKING:
    import polars as pl


class GrowingCodes:
    """Gives each distinct text the next code, 0, 1, 2, ....

    Several threads may encode at once. Which text has which code then depends
    on the threads, but equal texts have equal codes.

    Memory: about 100 bytes per distinct text.
    """

    def __init__(self) -> None:
        import polars as pl

        self._categories = pl.Categories.random()
        self._dtype: Any = pl.Categorical(self._categories)
        # Polars forgets the codes with the last series that has them.
        self._anchor = pl.Series([], dtype=self._dtype)

    def __call__(self, texts: "pl.Series") -> UInt32Array:
        """Encodes texts, String (n,) without nulls, as uint32 (n,)."""
        return texts.cast(self._dtype).to_physical().to_numpy()

    def texts(self) -> "pl.Series":
        """The text of each code."""
        return self._categories.to_series()
