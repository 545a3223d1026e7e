"""A folder or an encoder of version 1, as a prepared log."""

import json
import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_pss.arrays import open_arrays
from keras_pss.data.criteo.columns import CATEGORIES
from keras_pss.data.encoders.hashed_texts import OPEN_SIZE
from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage.prepared_folder import PreparedFolder
from keras_pss.data.storage.shard_checks import AGAIN
from keras_pss.files import complete_file
from keras_pss.ops.hash_families import pss1

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class OldFolder(PreparedFolder):
    """A prepared log whose ids are those of version 1.

    An encoder of a run is such a folder without rows.

    Args:
        directory, metadata, schema, layout: As of `PreparedFolder`.
        ids: `policy` of the ids, `"vocabulary"` with `min_count`, or `"hash"`
            with `hash` (`"pss1"`), `seed` and `buckets`.
        archive: The `.npz` file with the vocabularies, or None.
    """

    ids: dict[str, Any] = field(kw_only=True)
    archive: Path | None = field(kw_only=True)

    @property
    def hash_family(self) -> str:
        if self.ids["policy"] != "hash":
            return super().hash_family
        return f"pss1, seed {self.ids['seed']}"

    def hashed(self, feature: Any, texts: "pl.Series") -> Int32Array:
        import polars as pl

        size = OPEN_SIZE if feature.buckets is None else feature.buckets
        values = texts.str.to_integer(base=16, dtype=pl.UInt32).to_numpy()
        column = CATEGORIES.index(feature.name)
        return pss1.starts(values, size, self.ids["seed"], column)[:, 0]

    def _vocabulary(self, table: str) -> Vocabulary:
        import polars as pl

        if self.archive is None or table not in CATEGORIES:
            return super()._vocabulary(table)  # which raises
        try:
            with open_arrays(self.archive) as arrays:
                values = arrays[f"values_{table}"]
                counts = arrays[f"counts_{table}"]
            if (
                (values.dtype, counts.dtype) != (np.uint32, np.int64)
                or values.ndim != 1
                or counts.shape != (len(values) + 1,)
            ):
                raise ValueError(
                    f"values of {table}: {values.dtype} {values.shape}, "
                    f"counts: {counts.dtype} {counts.shape}"
                )
        except ValueError as error:
            raise ValueError(
                f"{self.archive} must be written by `prepare`. {AGAIN} "
                f"Received: {error}"
            ) from error
        return Vocabulary(_hexadecimal(pl.Series(values)), counts)

    def save_encoder(self, path: Path) -> None:
        with complete_file(path) as part:
            if self.archive is not None:
                shutil.copyfile(self.archive, part)
                return
            config = np.array(json.dumps(self.ids, sort_keys=True))
            with open(part, "wb") as file:
                np.savez(file, config=config)


def _hexadecimal(values: "pl.Series") -> "pl.Series":
    """Eight lowercase digits of values, UInt32 (n,)."""
    numbers, digits = values.to_numpy(), _digits()
    high = digits.gather(numbers >> np.uint32(16))
    return high + digits.gather(numbers & np.uint32(0xFFFF))


@cache
def _digits() -> "pl.Series":
    """Texts of two bytes, so that Python formats no value twice."""
    import polars as pl

    return pl.Series([f"{value:04x}" for value in range(1 << 16)])
