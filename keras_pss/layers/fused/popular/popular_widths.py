"""Checks of the bands of rows by popularity."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from keras_pss.layers.base.checks import (
    non_negative_int,
    positive_int,
    positive_ints,
    shown,
)


def checked_widths(inner_dim: Any, output_dim: int) -> tuple[int, ...]:
    """The widths of the bands, which fall."""
    given = [inner_dim] if isinstance(inner_dim, int) else inner_dim
    widths = positive_ints("inner_dim", given, output_dim)
    if not widths or any(wide <= narrow for wide, narrow in pairwise(widths)):
        raise ValueError(
            "`inner_dim` must fall from each band to the next, since the "
            "first ones have the most frequent ids. "
            f"Received: inner_dim={shown(inner_dim)}"
        )
    return widths


def checked_limits(
    num_rows: Sequence[int], input_dim: int, bands: int
) -> tuple[int, ...]:
    """For each band the first id beyond it."""
    if len(num_rows) != bands:
        raise ValueError(
            "`num_rows` and `inner_dim` must have one number for each band. "
            f"Received: num_rows={shown(tuple(num_rows))} for {bands} bands"
        )
    positive_int("num_rows", num_rows[0], input_dim)
    for rows in num_rows[1:]:
        non_negative_int("num_rows", rows, input_dim)
    limits = tuple(int(limit) for limit in np.cumsum(num_rows))
    if limits[-1] > input_dim:
        raise ValueError(
            "`num_rows` must be at most `input_dim`, the number of ids, over "
            f"all bands. Received: num_rows={shown(tuple(num_rows))}, "
            f"input_dim={input_dim}"
        )
    return limits


def narrowed(
    options: Mapping[str, Any], output_dim: int, before: int
) -> dict[str, Any]:
    """Options of tables of another width for the same ids.

    Bands that would be as wide as the one before them become a part of it.

    Args:
        options: Arguments of `PopularityEmbedding` for `before` columns.
        output_dim: Columns of the other tables.
        before: Integer, see `options`.
    """
    width = options.get("inner_dim")
    found = dict(options)
    memory = options.get("memory_size")
    if memory:
        share = memory * output_dim // before
        found["memory_size"] = max(output_dim, share)
        found.pop("block_size", None)
    if width is None:
        # A budget finds the width; without one, it is 1.
        return found
    if isinstance(width, int):
        return {**found, "inner_dim": min(width, output_dim)}
    wide = sum(each >= output_dim for each in width)
    if wide > 1:
        found["inner_dim"] = (output_dim, *width[wide:])
        if "num_rows" in options:
            found["num_rows"] = tuple(
                (sum(rows[:wide]), *rows[wide:]) for rows in options["num_rows"]
            )
    else:
        found["inner_dim"] = tuple(min(each, output_dim) for each in width)
    return found
