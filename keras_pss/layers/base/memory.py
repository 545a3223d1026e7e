"""The memory report of a layer: what is trained, kept beside it and served."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

from keras_pss.ops.dtypes import itemsize
from keras_pss.ops.packing import BLOCK_SIZE, MODES
from keras_pss.optimizers.slots import Optimizer, optimizer_slots


@dataclasses.dataclass(frozen=True)
class MemoryReport:
    """Sizes of an embedding layer, and what one lookup costs.

    Attributes:
        parameters: Numbers that the layer learned (trained, or packed).
        full_parameters: Numbers of the table that it stands for; None for an
            open vocabulary.
        index_bytes: Bytes of tables that are not trained: pointers, counters.
        optimizer_bytes: Bytes that the optimizer keeps while training; none
            for a layer that is not trainable.
        training_bytes: Parameters, gradients, optimizer and index tables.
        serving_bytes: Bytes of the weights as they are now, index tables
            included.
        serving_bytes_int8: The same after `quantize("int8")`.
        serving_bytes_int4: The same after `quantize("int4")`; matrices that
            lookups read whole stay int8.
        lookup_bytes: Bytes gathered for one id (of a collection: for one id
            of each table); matrices that a whole batch shares do not count.
        lookup_flops: Floating-point additions and multiplications for it.
    """

    parameters: int
    full_parameters: int | None
    index_bytes: int
    optimizer_bytes: int
    training_bytes: int
    serving_bytes: int
    serving_bytes_int8: int
    serving_bytes_int4: int
    lookup_bytes: int
    lookup_flops: int

    @property
    def compression(self) -> float | None:
        """How many times fewer parameters than the full table."""
        if self.full_parameters is None:
            return None
        if not self.parameters:
            return 1.0
        return self.full_parameters / self.parameters

    @classmethod
    def of(cls, layer: Any, full: int | None, optimizer: Optimizer) -> Self:
        """Reports on a layer made of `TableLayer`s, shared ones included."""
        return cls.of_parts(layers_within(layer), full, optimizer)

    @classmethod
    def of_parts(
        cls, parts: Sequence[Any], full: int | None, optimizer: Optimizer
    ) -> Self:
        """Reports on `TableLayer`s, each given once."""
        slots = optimizer_slots(optimizer)
        parameters = floats = trained = index = serving = 0
        packed = dict.fromkeys(MODES, 0)
        for part in parts:
            size = itemsize(part.variable_dtype)
            for table in part.tables().values():
                if table.dtype is not None:
                    index += table.bytes
                    continue
                small = {m: part.packed_bytes(table, m) for m in MODES}
                parameters += table.size
                floats += size * table.size
                trained += size * table.size * part.trainable
                packed = {m: packed[m] + small[m] for m in MODES}
                serving += small.get(part.quantization_mode, size * table.size)
        return cls(
            parameters=parameters,
            full_parameters=full,
            index_bytes=index,
            optimizer_bytes=slots * trained,
            training_bytes=floats + (slots + 1) * trained + index,
            serving_bytes=serving + index,
            serving_bytes_int8=packed["int8"] + index,
            serving_bytes_int4=packed["int4"] + index,
            lookup_bytes=sum(part.lookup_bytes() for part in parts),
            lookup_flops=sum(part.lookup_flops() for part in parts),
        )

    @classmethod
    def of_stock_embedding(cls, layer: Any, optimizer: Optimizer) -> Self:
        """Reports on a `keras.layers.Embedding`, which is its own full table.

        Keras packs it to int8 with one scale a row; to int4 with a scale and
        a zero for each block of numbers of a row, and the blocks' numbers.
        """
        rows, width = layer.input_dim, layer.output_dim
        size = itemsize(layer.variable_dtype)
        held = rows * width * size
        slots = optimizer_slots(optimizer)
        trained = held * layer.trainable
        blocks = -(-width // BLOCK_SIZE)
        packed = {
            "int8": rows * (width + size),
            "int4": rows * (-(-width // 2) + blocks * (size + 1)) + 4 * width,
        }
        mode = layer.quantization_mode
        number = {"int8": 1, "int4": 0.5}.get(mode, size)
        return cls(
            parameters=rows * width,
            full_parameters=rows * width,
            index_bytes=0,
            optimizer_bytes=slots * trained,
            training_bytes=held + (slots + 1) * trained,
            serving_bytes=_bytes_of(layer.weights) if mode else held,
            serving_bytes_int8=packed["int8"],
            serving_bytes_int4=packed["int4"],
            lookup_bytes=math.ceil(width * number),
            lookup_flops=0,
        )

    def plus(self, others: Sequence[Self]) -> Self:
        """The sum of reports; `full_parameters` stays as it is."""
        sums = {
            field.name: sum(getattr(r, field.name) for r in (self, *others))
            for field in dataclasses.fields(self)
            if field.name != "full_parameters"
        }
        return dataclasses.replace(self, **sums)

    def as_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "compression": self.compression}


def _bytes_of(weights: Sequence[Any]) -> int:
    return sum(math.prod(w.shape) * itemsize(w.dtype) for w in weights)


def layers_within(layer: Any) -> list[Any]:
    """The layer and the sub-layers that hold its tables, each once."""
    found: dict[int, Any] = {}
    stack = [layer]
    while stack:
        part = stack.pop()
        if id(part) not in found:
            found[id(part)] = part
            stack.extend(part.parts())
    return list(found.values())
