"""Rows by popularity, of one table or of several."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    non_negative_int,
    one_of,
    positive_int,
    positive_ints,
    shown,
)
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops import hashing
from keras_pss.ops.bands import Bands

Tensor = Any
TAILS = ("oov", "hash")


class PopularRows:
    """What a layer of one table and a layer of several have in common.

    A class beside a `TableLayer`, whose constructor calls `_set_bands`.
    """

    embeddings_initializer: Any
    output_dim: int
    name: str
    gather_rows: Any
    whole_table: Any

    def _set_bands(
        self,
        input_dims: Sequence[int],
        num_rows: Sequence[Sequence[int]],
        inner_dim: Any,
        tail: str,
        buckets: int,
        numbers: Sequence[int],
        columns: Sequence[int] | None,
        hash: str,
        seed: int,
    ) -> None:
        """Checks the arguments of the layer.

        Args:
            input_dims: Rows of each table.
            num_rows: Rows of each band, for each table.
            inner_dim, tail, buckets, hash, seed: As in `PopularityEmbedding`.
            numbers, columns: As in `Bands`.
        """
        self.inner_dim = checked_widths(inner_dim, self.output_dim)
        self._projects = self.inner_dim[-1] < self.output_dim
        self.tail = one_of("tail", tail, TAILS)
        non_negative_int("buckets", buckets, LARGEST_DIM)
        if (tail == "hash") != bool(buckets):
            raise ValueError(
                "`buckets` is the number of hashed rows: at least 1 with "
                "tail='hash', and 0 with another tail. "
                f"Received: buckets={buckets}, tail={tail!r}"
            )
        self.buckets = buckets
        self.hash = one_of("hash", hash, hashing.FAMILIES)
        self.seed = non_negative_int("seed", seed)
        each = [
            _limits(rows, dim, len(self.inner_dim))
            for rows, dim in zip(num_rows, input_dims, strict=True)
        ]
        self._bands = Bands(
            tuple(zip(*each, strict=True)),
            tuple(numbers),
            None if columns is None else tuple(columns),
            buckets,
            seed,
            hash,
        )
        self._scaled = tuple(input_dims)

    def tables(self) -> dict[str, Table]:
        found = {}
        for band, width in enumerate(self.inner_dim):
            ending = f"_{band}" if band else ""
            fill = partial(self._rows, band)
            found[f"rows{ending}"] = Table(self._bands.rows(band), width, fill)
            if width < self.output_dim:
                found[f"projection{ending}"] = Table(
                    width,
                    self.output_dim,
                    draws.projection(
                        self.embeddings_initializer,
                        width,
                        self.output_dim,
                        2 * band + 1,
                    ),
                    whole=True,
                )
        return found

    def _rows(
        self, band: int, shape: Sequence[int], dtype: Any = None
    ) -> Tensor:
        """Initial rows of a band, with the scale of each table."""
        given, width = self.embeddings_initializer, self.inner_dim[band]
        sizes = [int(size) for size in self._bands.sizes[band]]
        sizes[-1] += shape[0] - sum(sizes)  # the hashed rows
        if width == self.output_dim:
            parts = [
                table_scale.shared_rows(
                    table_scale.with_seed_offset(given, 100 * place + band),
                    rows,
                    width,
                    self.name,
                )((size, width), dtype)
                for place, (rows, size) in enumerate(
                    zip(self._scaled, sizes, strict=True)
                )
                if size
            ]
            return ops.concatenate(parts) if parts[1:] else parts[0]
        scales = table_scale.TableScale.several(
            given, self._scaled, self.output_dim, self.name
        )
        stds = np.repeat([s.product_std for s in scales], sizes)
        drawn = draws.scaled(given, 1.0, 2 * band)(shape, dtype="float32")
        return ops.cast(
            drawn * ops.cast(stds[:, None], "float32"), dtype or "float32"
        )

    def latent(self, ids: Tensor) -> Tensor:
        """Narrow rows, those of all bands beside each other."""
        parts = []
        for band, (index, inside) in enumerate(self._bands.address(ids)):
            rows = self.gather_rows(f"rows_{band}" if band else "rows", index)
            if inside is not None:
                rows = ops.where(
                    ops.expand_dims(inside, -1), rows, ops.zeros_like(rows)
                )
            parts.append(rows)
        return ops.concatenate(parts, axis=-1) if parts[1:] else parts[0]

    def project(self, latent: Tensor) -> Tensor:
        """Rows of the common width out of narrow ones."""
        ends = np.cumsum((0, *self.inner_dim))
        total = None
        for band, (begin, end) in enumerate(pairwise(ends)):
            part = latent[..., begin:end] if len(ends) > 2 else latent
            if end - begin < self.output_dim:
                name = f"projection_{band}" if band else "projection"
                matrix = ops.cast(self.whole_table(name), part.dtype)
                part = ops.matmul(part, matrix)
            total = part if total is None else total + part
        return total

    def lookup_flops(self) -> int:
        """Operations that project the bands' rows of one id."""
        narrow = [k for k in self.inner_dim if k < self.output_dim]
        adds = (len(self.inner_dim) - 1) * self.output_dim
        return 2 * sum(narrow) * self.output_dim + adds


def checked_widths(inner_dim: Any, output_dim: int) -> tuple[int, ...]:
    """The widths of the bands, which fall."""
    given = [inner_dim] if isinstance(inner_dim, int) else inner_dim
    widths = positive_ints("inner_dim", given, output_dim)
    if any(wide <= narrow for wide, narrow in pairwise(widths)):
        raise ValueError(
            "`inner_dim` must fall from each band to the next, since the "
            "first ones have the most frequent ids. "
            f"Received: inner_dim={shown(inner_dim)}"
        )
    return widths


def _limits(
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
