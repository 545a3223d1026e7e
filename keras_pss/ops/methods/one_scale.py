"""Tables with one scale: rounded while they are trained, packed afterwards.

    table ≈ s Q,   s = max |table| / 127              (int8)
                   s = min(max |table|, 3 rms) / 7    (int4)

with integer codes Q of at most 127 or 7, and the root mean square of the
table. A scale for each row would take more than the row where rows are one or
two numbers long, and a row of one number would be its own scale, so that
nothing is rounded.

While the table is trained, its float32 numbers (masters) are rounded where
they are read, and the gradient passes the rounding unchanged. The scale is
computed from the table at each read. Packing computes the same scale and
codes, so a packed table gives the same rows.

With four bits a few large numbers would make the grid too coarse for all
others. Clipping at 2.5, 3 and 4 times the root mean square, at the largest
number and at a constant gave AUCs within .002 of each other; 3 was the best on
average.

References: Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference" (CVPR 2018), section 3 (rounding
in the forward pass); Bengio et al., "Estimating or propagating gradients
through stochastic neurons" (2013) for the gradient; Esser et al., "Learned
step size quantization" (ICLR 2020) learn the scale instead.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from keras_pss.native.packed_table import PackedLayout
from keras_pss.ops import rounding
from keras_pss.ops.gather import take
from keras_pss.ops.packing import Form, Held

Tensor = Any
# Largest number of a 4-bit grid, in root mean squares of the table.
_CLIP = 3.0
# The smallest scale, far above denormals.
_SMALLEST_SCALE = 2.0**-100


@dataclass(frozen=True)
class OneScale:
    """The storage of a table with one scale.

    In int4 a byte holds two numbers of a row of even width: one of its first
    half in the lower four bits, one of its second half in the upper four.
    With an odd width it holds two consecutive numbers of the flattened table,
    so that rows of one number take half a byte.

    Attributes:
        storage: `"int8"` or `"int4"`.
    """

    storage: str

    @property
    def number_bytes(self) -> float:
        return {"int8": 1.0, "int4": 0.5}[self.storage]

    def _splits_rows(self, width: int) -> bool:
        """Whether two rows may share a byte."""
        return self.storage == "int4" and width % 2 == 1

    def form(self, rows: int, width: int, scale_dtype: str) -> Form:
        shape = rows, width
        if self._splits_rows(width):
            shape = -(-rows * width // 2), 1
        elif self.storage == "int4":
            shape = rows, width // 2
        return {"table": (shape, "int8"), "scale": ((1,), "float32")}

    def bytes(self, rows: int, width: int) -> int:
        """Bytes of the packed table and its scale."""
        numbers = rows * width
        return (numbers if self.storage == "int8" else -(-numbers // 2)) + 4

    def scale(self, table: Any) -> Tensor:
        """The scale of a table, float32 `(1,)`, without a gradient."""
        table = ops.stop_gradient(ops.convert_to_tensor(table))
        largest = ops.max(ops.abs(table))
        if self.storage == "int4":
            rms = ops.sqrt(ops.mean(ops.square(table)))
            largest = ops.minimum(largest, _CLIP * rms)
        scale = ops.reshape(largest, (1,)) * (1 / self._largest_code)
        # Sums differ in their last bits among eager and compiled code.
        return ops.maximum(rounding.shortened(scale), _SMALLEST_SCALE)

    @property
    def _largest_code(self) -> int:
        return rounding.LARGEST_CODE[self.storage]

    def codes(self, values: Tensor, scale: Tensor) -> Tensor:
        """Codes as floats."""
        found = ops.round(values * (1 / scale))
        return ops.clip(found, -self._largest_code, self._largest_code)

    def rounded(self, values: Tensor, scale: Tensor) -> Tensor:
        """Numbers of the table on its grid; their gradient passes unchanged."""
        fixed = ops.stop_gradient(values)
        # The difference is exactly zero. `values + (grid - values)` would not
        # be exactly on the grid.
        return self.codes(fixed, scale) * scale + (values - fixed)

    def pack(self, values: np.ndarray) -> dict[str, np.ndarray]:
        scale = self.scale(values)
        codes = ops.convert_to_numpy(
            self.codes(ops.convert_to_tensor(values), scale)
        ).astype(np.int8)
        scale = ops.convert_to_numpy(scale)
        if self._splits_rows(values.shape[1]):
            pairs = np.zeros((-(-codes.size // 2), 2), np.int8)
            pairs.reshape(-1)[: codes.size] = codes.reshape(-1)
            codes = pairs
        if self.storage == "int4":
            codes = rounding.paired(codes)
        return {"table": codes, "scale": scale}

    def layout(self, held: Held, width: int) -> PackedLayout:
        rows = held["table"].shape[0]
        if self._splits_rows(width):
            width = 2  # consecutive numbers share a byte
        bits = 8 if self.storage == "int8" else 4
        return PackedLayout(rows, width, bits, rows, width)

    def rows(self, held: Held, width: int, index: Tensor) -> Tensor:
        if self._splits_rows(width):
            # Number w r + c, w = 2 m + 1, is in byte m r + (r + c) / 2, which
            # overflows later than w r + c.
            row = ops.expand_dims(index, -1)
            from_row = row + ops.cast(ops.arange(width), row.dtype)
            byte = row * (width // 2) + ops.right_shift(from_row, 1)
            return self._halves(held, byte, from_row)
        packed = take(_value(held["table"]), index)
        if self.storage == "int4":
            packed = rounding.unpaired(packed, width)
        return ops.cast(packed, "float32") * _value(held["scale"])

    def elements(self, held: Held, width: int, index: Tensor) -> Tensor:
        index = ops.convert_to_tensor(index)
        codes = ops.reshape(held["table"], (-1,))
        if self.storage == "int8":
            packed = take(codes, index)
        elif self._splits_rows(width):
            return self._halves(held, ops.right_shift(index, 1), index)
        else:
            row, half = index // width, width // 2
            column = index - row * width
            upper = column >= half
            place = row * half + ops.where(upper, column - half, column)
            packed = rounding.half_byte(take(codes, place), upper)
        return ops.cast(packed, "float32") * _value(held["scale"])

    def _halves(self, held: Held, byte: Tensor, index: Tensor) -> Tensor:
        """Numbers in one half of a byte: the upper one where `index` is odd."""
        codes = ops.reshape(held["table"], (-1,))
        upper = ops.equal(ops.bitwise_and(index, 1), 1)
        packed = rounding.half_byte(take(codes, byte), upper)
        return ops.cast(packed, "float32") * _value(held["scale"])

    def whole(self, held: Held, width: int) -> Tensor:
        raise NotImplementedError  # matrices stay floats


@dataclass(frozen=True)
class Unpacked:
    """The storage of a float32 matrix that stays as it is."""

    number_bytes = 4.0

    def form(self, rows: int, width: int, scale_dtype: str) -> Form:
        return {"table": ((rows, width), "float32")}

    def pack(self, values: np.ndarray) -> dict[str, np.ndarray]:
        return {"table": values.astype(np.float32)}

    def layout(self, held: Held, width: int) -> None:
        return None

    def rows(self, held: Held, width: int, index: Tensor) -> Tensor:
        return take(_value(held["table"]), index)

    def elements(self, held: Held, width: int, index: Tensor) -> Tensor:
        return take(ops.reshape(held["table"], (-1,)), index)

    def whole(self, held: Held, width: int) -> Tensor:
        return ops.convert_to_tensor(held["table"])


def _value(variable: Any) -> Any:
    """A variable's value, or TensorFlow would read the whole variable."""
    return getattr(variable, "value", variable)
