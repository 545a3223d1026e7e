"""A folder that `criteo.prepare` wrote, as a prepared log."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_pss.arrays import open_arrays
from keras_pss.data.criteo.schema import CATEGORIES
from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.storage import metadata
from keras_pss.data.storage.log_layout import LogLayout
from keras_pss.data.storage.prepared import Prepared, load
from keras_pss.data.storage.prepared_folder import PreparedFolder
from keras_pss.features import Categorical, Schema, Split

if TYPE_CHECKING:
    import polars as pl

_SPLITS = {"chronological": "order", "random": "random", "none": "order"}


@dataclass(frozen=True)
class CriteoFolder(PreparedFolder):
    """A folder of version 1: Criteo's columns and no other.

    Hashed ids are those of the hash `pss1`, which a schema cannot declare:
    `schema` says how many there are, not which texts they belong to.

    Args:
        directory, metadata, schema, layout: As of `PreparedFolder`.
        prepared: The folder as `criteo.load` opens it.
    """

    prepared: Prepared = field(repr=False, kw_only=True)

    @classmethod
    def open(cls, directory: Path) -> "CriteoFolder":
        """Opens a folder; see `criteo.load` for the errors."""
        prepared = load(directory)
        schema = _schema(prepared.metadata)
        content = {
            **prepared.metadata,
            "schema": schema.to_dict(),
            "statistics": {},
            "tables": dict.fromkeys(CATEGORIES),
            "sources": prepared.metadata.get("sources", []),
        }
        sizes: list[Any] = [None] * len(CATEGORIES)
        sizes = prepared.cardinalities or sizes
        for name, size in zip(CATEGORIES, sizes, strict=True):
            content["tables"][name] = {"rows": size}
            if content["ids"]["policy"] == "vocabulary":
                content["tables"][name]["oov"] = 0  # read with the texts
        layout = LogLayout.of_schema(schema)
        return cls(directory, content, schema, layout, prepared=prepared)

    def _vocabulary(self, table: str) -> Vocabulary:
        import polars as pl

        if self.metadata["tables"].get(table, {}).get("oov") is None:
            return super()._vocabulary(table)  # which raises
        with open_arrays(self.directory / metadata.VOCABULARY) as arrays:
            values = arrays[f"values_{table}"]
            counts = arrays[f"counts_{table}"]
        return Vocabulary(_hexadecimal(pl.Series(values)), counts)

    def verify(self) -> None:
        self.prepared.verify()


def _hexadecimal(values: "pl.Series") -> "pl.Series":
    """Eight lowercase digits of values, UInt32 (n,)."""
    import polars as pl

    # Two bytes have 65,536 texts, so that Python formats no value twice.
    digits = pl.Series([f"{value:04x}" for value in range(1 << 16)])
    numbers = values.to_numpy()
    high = digits.gather(numbers >> np.uint32(16))
    return high + digits.gather(numbers & np.uint32(0xFFFF))


def _schema(content: dict[str, Any]) -> Schema:
    """Criteo's schema with the ids and the split of a folder."""
    base = Schema.load("criteo")
    ids, split = content["ids"], content.get("split", {})
    options: dict[str, Any] = (
        {"min_count": ids["min_count"]}
        if ids["policy"] == "vocabulary"
        else {"ids": "hash", "min_count": 1, "buckets": ids["buckets"]}
    )
    features = tuple(
        replace(feature, **options)
        if isinstance(feature, Categorical)
        else feature
        for feature in base.features
    )
    return replace(base, features=features, split=_split(split))


def _split(entry: Any) -> Split:
    """The split of an entry, which `criteo.load` does not check."""
    if not isinstance(entry, dict) or entry.get("policy") not in _SPLITS:
        return Split()
    if entry["policy"] == "none":
        return Split(test=0, validation=0)
    options: dict[str, Any] = {
        "by": _SPLITS[entry["policy"]],
        "test": entry.get("test_fraction"),
        "validation": entry.get("validation_fraction"),
        "seed": entry.get("seed"),
    }
    try:
        return Split(**options)
    except ValueError:
        return Split()
