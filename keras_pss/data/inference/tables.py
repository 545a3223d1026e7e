"""Which categorical columns share a table, because they share their values."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from keras_pss.data.inference.column import words
from keras_pss.features import Categorical, MultiCategorical

# A history of items is seldom called by the items' name.
_ITEMS = {
    *("item", "product", "movie", "ad", "article", "new", "good", "sku"),
    *("video", "song", "track", "book", "doc", "post", "listing"),
}
_HISTORY = {
    *("hist", "history", "viewed", "seen", "clicked", "sequence", "seq"),
    *("bought", "watched", "past", "recent", "last", "previou", "session"),
}

Feature = Categorical | MultiCategorical

_OVERLAP = 0.5
# Small vocabularies overlap by chance: flags, codes from 1 on.
_FEWEST = 10
_FEWEST_IN_RANGE = 100
# What names of columns have in common without a meaning.
_COMMON = {"id", "column", "feature", "code", "type", "category", "list", ""}


def shared_tables(
    features: Mapping[str, Feature], values: Mapping[str, pl.Series]
) -> dict[str, tuple[str, float]]:
    """The table that a feature shares, and how much their values overlap.

    The overlap is the share of the smaller vocabulary that the larger one
    has, too. Integers that fill a range, as ids from 1 on do, overlap with
    all others by chance; so their names must have a word in common.

    Args:
        features: The categorical features, by name.
        values: The distinct texts of each.

    Returns:
        By the feature's name, the table and the overlap.
    """
    found: dict[str, tuple[str, float]] = {}
    # Single-valued features own tables; lists look them up.
    order = sorted(
        features,
        key=lambda name: (
            isinstance(features[name], MultiCategorical),
            -values[name].len(),
        ),
    )
    for index, name in enumerate(order):
        best = ("", _OVERLAP)
        for owner in order[:index]:
            if owner in found or not _alike(features, owner, name):
                continue
            share = _overlap(values[owner], values[name])
            pair = values[owner], values[name]
            if any(map(_fills_range, pair)):
                few = min(map(len, pair)) < _FEWEST_IN_RANGE
                if few or not _are_related(owner, name):
                    continue
            if share > best[1]:
                best = owner, share
        if best[0]:
            found[name] = best
    return found


def _alike(features: Mapping[str, Feature], owner: str, name: str) -> bool:
    return features[owner].dtype == features[name].dtype


def _are_related(owner: str, name: str) -> bool:
    """Whether the names of two columns say that they hold the same things."""
    one, other = words(owner), words(name)
    if (one & other) - _COMMON:
        return True
    return bool(one & _ITEMS) and bool(other & _HISTORY)


def _overlap(one: pl.Series, other: pl.Series) -> float:
    fewest = min(one.len(), other.len())
    if fewest < _FEWEST:
        return 0.0
    return float(one.is_in(other.implode()).sum()) / fewest


def _fills_range(values: pl.Series) -> bool:
    """Whether the texts are integers that fill much of their range."""
    numbers = values.cast(pl.Int64, strict=False)
    if numbers.null_count() or numbers.is_empty():
        return False
    width = int(numbers.max()) - int(numbers.min()) + 1  # type: ignore[arg-type]
    return numbers.len() / width > 0.1
