"""Cores of tensor trains: FBTT's, and those of TT matrices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_pss.convert.checkpoints.found_table import (
    FoundTable,
    ImportOptions,
    Shape,
)
from keras_pss.convert.checkpoints.sources import Checkpoint
from keras_pss.layers.embedding.tt_embedding import TTEmbedding
from keras_pss.messages import shown


@dataclass(frozen=True)
class FoundCores(FoundTable):
    """Cores `(r, p, q, r')`, which a layer holds as `(p, r q r')`.

    Attributes:
        reversed_digits: Boolean, whether the module that wrote the cores reads
            the first one by the least significant digit of an id.
    """

    reversed_digits: bool = False

    kind = "tt"

    @property
    def row_shape(self) -> Shape:
        return tuple(shape[1] for shape in self.shapes.values())

    @property
    def column_shape(self) -> Shape | None:
        """The factors of the columns; None if the arrays do not say them."""
        return tuple(shape[2] for shape in self.shapes.values())

    @property
    def input_dim(self) -> int:
        return math.prod(self.row_shape)

    @property
    def output_dim(self) -> int | None:
        columns = self.column_shape
        return None if columns is None else math.prod(columns)

    def table_shape(self, part: str) -> tuple[int, int]:
        left, rows, columns, right = self.shapes[part]
        return rows, left * columns * right

    def rows(
        self, source: Checkpoint, part: str, begin: int, end: int
    ) -> np.ndarray:
        # (r, p, q, r') -> (p, r q r')
        turned = source.whole(self.parts[part]).transpose(1, 0, 2, 3)
        return turned.reshape(len(turned), -1)[begin:end]

    def check(self, source: Checkpoint, options: ImportOptions) -> None:
        if self.reversed_digits and not options.reversed_digits:
            raise ValueError(
                "t3nsor's TTEmbedding reads the first core by the least "
                "significant digit of an id. Map the ids of the model by "
                "`keras_pss.convert.reverse_digits(ids, row_shape)`, and give "
                f"`reversed_digits=True`. Received: table {self.name!r}"
            )

    def check_layer(self, layer: Any) -> None:
        if self.column_shape not in (None, layer.column_shape):
            raise ValueError(
                f"The cores of table {self.name!r} have column_shape="
                f"{self.column_shape}. "
                f"Received: a layer with column_shape={layer.column_shape}"
            )

    def layer(self, options: ImportOptions) -> Any:
        columns, ranks = self._columns_and_ranks(options)
        return TTEmbedding(
            self.input_dim,
            math.prod(columns),
            rank=ranks,
            row_shape=self.row_shape,
            column_shape=columns,
            name=self.layer_name,
        )

    def _columns_and_ranks(
        self, options: ImportOptions
    ) -> tuple[Shape, list[int]]:
        shapes = list(self.shapes.values())
        columns = tuple(shape[2] for shape in shapes)
        return columns, [shape[3] for shape in shapes[:-1]]


@dataclass(frozen=True)
class FoundBatchedCores(FoundCores):
    """One of the tables of FBTT's cores `(tables, p, r q r')`.

    Attributes:
        number: Integer, the place of the table in the arrays.
    """

    number: int = 0

    @property
    def column_shape(self) -> None:
        return None

    def table_shape(self, part: str) -> tuple[int, int]:
        _, rows, width = self.shapes[part]
        return rows, width

    def rows(
        self, source: Checkpoint, part: str, begin: int, end: int
    ) -> np.ndarray:
        one = source.rows(self.parts[part], self.number, self.number + 1)
        return one[0, begin:end]

    def check(self, source: Checkpoint, options: ImportOptions) -> None:
        """Refuses cores if rows in a cache replace some of theirs."""
        path = self.parts["core0"].removesuffix("tt_cores.0")
        info = source.arrays.get(f"{path}cache_state")
        if (
            options.drop_cache
            or info is None
            or not math.prod(info.shape or [0])
        ):
            return
        if (source.whole(f"{path}cache_state") >= 0).any():
            raise ValueError(
                "FBTT's cache holds trained rows of frequent ids, which "
                "replace those of the cores. Give `drop_cache=True` to import "
                "the cores alone. Received: a cache in use in table "
                f"{self.name!r}"
            )

    def _columns_and_ranks(
        self, options: ImportOptions
    ) -> tuple[Shape, list[int]]:
        given = options.column_shape
        if not isinstance(given, list | tuple):
            raise ValueError(
                f"The cores of table {self.name!r} do not say how a row is "
                "divided. Give `column_shape`, the tt_q_shapes of FBTT, whose "
                "product is the length of a row. "
                f"Received: column_shape={shown(given)}"
            )
        widths = tuple(shape[2] for shape in self.shapes.values())
        ranks = _ranks(widths, given)
        if ranks is None:
            raise ValueError(
                f"`column_shape` must divide the cores of table {self.name!r}: "
                f"one factor for each of {len(widths)} cores, with r q r' = "
                f"{widths} and a last rank of 1. "
                f"Received: column_shape={shown(given)}"
            )
        return tuple(given), ranks


def _ranks(widths: Sequence[int], columns: Sequence[Any]) -> list[int] | None:
    """Ranks between cores of r q r' numbers; None if the q do not fit."""
    if len(columns) != len(widths):
        return None
    found = [1]
    for width, factor in zip(widths, columns, strict=True):
        if not isinstance(factor, int) or factor < 1:
            return None
        rank, left = divmod(width, found[-1] * factor)
        if left or not rank:
            return None
        found.append(rank)
    return found[1:-1] if found[-1] == 1 else None
