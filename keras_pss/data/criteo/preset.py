"""The schema of Criteo's log with the options that its users choose."""

from dataclasses import replace
from typing import Any

from keras_pss.data.criteo.columns import CATEGORIES, INTEGERS
from keras_pss.data.storage import splits
from keras_pss.features import Categorical, Schema, Split
from keras_pss.features.checks.checked import LARGEST_IDS

_BY = {"chronological": "order", "random": "random", "none": "order"}


def schema(
    ids: str = "vocabulary",
    *,
    min_count: int = 1,
    hash_buckets: int | None = None,
    split: str = "chronological",
    test_fraction: float = 1 / 7,
    validation_fraction: float = 0.1,
    split_seed: int = 2020,
) -> Schema:
    """The preset `"criteo"`, with the same ids for all 26 categories.

    Args:
        ids: `"vocabulary"` (default) assigns ids by descending frequency in
            all rows except the test rows, and id 0 to rare and
            out-of-vocabulary values. `"hash"` takes the fingerprint of the
            value's eight digits, the id of `keras.layers.Hashing`.
        min_count: Minimum count of a value with its own id in a vocabulary.
            Default: 1.
        hash_buckets: Number of ids of each column with `ids="hash"`, or None
            for open ids in [0, 2^31 - 1). Default: None.
        split: `"chronological"` (default; the last rows test), `"random"`, or
            `"none"` (all rows train).
        test_fraction: Fraction of all rows that is for testing. Default: 1/7.
        validation_fraction: Fraction of the other rows that is for
            validation. Default: 0.1.
        split_seed: Seed of `split="random"`, scikit-learn's `random_state`.
            Default: 2020.

    Raises:
        ValueError: An argument is out of range, or has no effect with such
            `ids`.

    Example:

    >>> criteo.schema("hash", hash_buckets=1_000_000)["C1"].buckets
    1000000
    """
    _check_ids(ids, min_count, hash_buckets)
    splits.check(split, test_fraction, validation_fraction, split_seed)
    preset = Schema.load("criteo")
    options: dict[str, Any] = {
        "ids": ids,
        "min_count": min_count,
        "buckets": hash_buckets,
    }
    features = tuple(
        replace(feature, **options)
        if isinstance(feature, Categorical)
        else feature
        for feature in preset.features
    )
    by: Any = _BY[split]
    if split == "none":
        test_fraction = validation_fraction = 0
    parts = Split(by, test_fraction, validation_fraction, split_seed)
    return replace(preset, features=features, split=parts)


def is_criteo(schema: Schema) -> bool:
    """Whether the features are Criteo's, as recipes for its log need."""
    names = tuple(feature.name for feature in schema.features)
    return names == INTEGERS + CATEGORIES


def options_of(schema: Schema) -> dict[str, Any]:
    """The arguments of `schema` that make this one of Criteo's features."""
    first: Any = schema[CATEGORIES[0]]
    parts = schema.split
    by = {"order": "chronological"}.get(parts.by, parts.by)
    if not parts.test and not parts.validation:
        by = "none"
    return {
        "ids": first.ids,
        "min_count": first.min_count,
        "hash_buckets": first.buckets,
        "split": by,
        "test_fraction": parts.test,
        "validation_fraction": parts.validation,
        "split_seed": parts.seed,
    }


def _check_ids(ids: str, min_count: int, hash_buckets: int | None) -> None:
    if ids not in ("vocabulary", "hash"):
        raise ValueError(
            f"`ids` must be 'vocabulary' or 'hash'. Received: ids={ids!r}."
        )
    if ids == "vocabulary" and hash_buckets is not None:
        raise ValueError(
            "`hash_buckets` must be None with ids='vocabulary'. Received: "
            f"hash_buckets={hash_buckets}. Pass ids='hash'."
        )
    if ids == "hash" and min_count != 1:
        raise ValueError(
            "`min_count` must be 1 with ids='hash', which counts nothing. "
            f"Received: min_count={min_count}. Pass ids='vocabulary'."
        )
    if min_count < 1:
        raise ValueError(
            f"`min_count` must be at least 1. Received: min_count={min_count}."
        )
    if hash_buckets is not None and not 1 <= hash_buckets <= LARGEST_IDS:
        raise ValueError(
            "`hash_buckets` must lie in [1, 2147483647]. Received: "
            f"hash_buckets={hash_buckets}. Pass None for open ids."
        )
