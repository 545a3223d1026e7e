"""A table that was found in a checkpoint."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keras_pss.convert.checkpoints.sources import Source

Shape = tuple[int, ...]


@dataclass(frozen=True)
class FoundTable:
    """A table of a checkpoint, before it is read.

    Attributes:
        name: Path of its module, such as `"emb_l.3"`; `""` for that of a
            single layer.
        kind: The method string of the layer that it becomes: `"full"`,
            `"qr"`, `"mixed_dimension"` or `"tt"`.
        parts: Key in the checkpoint of each weight, by the name of the layer's
            table: `{"quotient": "emb_l.3.weight_q", ...}`.
        shapes: Shape in the checkpoint of each weight, by the same names.
        number: Integer, the place of the table in arrays that hold the cores
            of several tables; None for other arrays.
        reversed_digits: Boolean, whether the module that wrote the cores reads
            the first one by the least significant digit of an id.
    """

    name: str
    kind: str
    parts: Mapping[str, str]
    shapes: Mapping[str, Shape]
    number: int | None = None
    reversed_digits: bool = False

    @property
    def input_dim(self) -> int:
        """The number of ids, or the largest if the arrays do not say it."""
        first = {name: shape[0] for name, shape in self.shapes.items()}
        if self.kind == "qr":
            return first["quotient"] * first["remainder"]
        if self.kind == "tt":
            return math.prod(self.row_shape)
        return next(iter(first.values()))

    @property
    def output_dim(self) -> int | None:
        """The length of a row; None if the arrays do not say it."""
        last = [shape[-1] for shape in self.shapes.values()]
        if self.kind == "qr":
            return None
        if self.kind == "mixed_dimension":
            return self.shapes["projection"][0]
        if self.kind == "tt":
            widths = self.column_shape
            return None if widths is None else math.prod(widths)
        return last[0]

    @property
    def row_shape(self) -> Shape:
        """The factors of the rows of a tensor train."""
        return tuple(shape[1] for shape in self.shapes.values())

    @property
    def column_shape(self) -> Shape | None:
        """The factors of the columns of a tensor train, if they are known."""
        if self.number is not None:
            return None
        return tuple(shape[2] for shape in self.shapes.values())

    @property
    def table_shapes(self) -> dict[str, tuple[int, int]]:
        """Shape of each table of the layer, `(rows, width)`."""
        found = {}
        for name, shape in self.shapes.items():
            if name == "projection":
                found[name] = shape[1], shape[0]
            elif len(shape) == 4:
                left, rows, columns, right = shape
                found[name] = rows, left * columns * right
            else:
                found[name] = shape[-2], shape[-1]
        return found

    def rows(
        self, source: Source, name: str, begin: int, end: int
    ) -> np.ndarray:
        """Rows `[begin, end)` of a table of the layer, as float32."""
        key, shape = self.parts[name], self.shapes[name]
        if name == "projection":
            return source.whole(key).T[begin:end]
        if len(shape) == 4:  # (r, p, q, r') -> (p, r q r')
            turned = source.whole(key).transpose(1, 0, 2, 3)
            return turned.reshape(shape[1], -1)[begin:end]
        if self.number is not None:
            one = source.rows(key, self.number, self.number + 1)
            return one[0, begin:end]
        return source.rows(key, begin, end)

    def __str__(self) -> str:
        parts = [f"{self.parts[n]} {s}" for n, s in self.shapes.items()]
        return f"{self.kind}: {', '.join(parts)}"
