"""The memory report of a layer, in training and in serving."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

from keras_pss.ops.dtypes import itemsize
from keras_pss.ops.packing import BLOCK_SIZE, MODES
from keras_pss.optimizers.slots import Optimizer, slot_bytes


@dataclasses.dataclass(frozen=True)
class MemoryReport:
    """Sizes of an embedding layer, and the cost of one lookup.

    Attributes:
        parameters: Number of learned parameters, trainable or packed.
        full_parameters: Number of parameters of the uncompressed table; None
            for an open vocabulary.
        index_bytes: Bytes of tables that are not trained, such as pointers
            and counters.
        optimizer_bytes: Bytes of the optimizer's slots; 0 for a layer that is
            not trainable.
        training_bytes: Bytes of parameters, gradients, optimizer slots and
            index tables.
        serving_bytes: Bytes of the current weights, index tables included,
            without what only training needs, such as counters, which an
            exported model does not contain.
        serving_bytes_int8: The same after `quantize("int8")`.
        serving_bytes_int4: The same after `quantize("int4")`; matrices that
            every lookup reads whole are packed to int8.
        lookup_bytes: Bytes gathered for one id (in a collection, for one id
            of each table). Matrices that a whole batch shares do not count.
        lookup_flops: Floating-point additions and multiplications of that
            lookup.
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
        """Compression ratio: parameters of the full table per parameter."""
        if self.full_parameters is None:
            return None
        if not self.parameters:
            return 1.0
        return self.full_parameters / self.parameters

    @classmethod
    def of(cls, layer: Any, full: int | None, optimizer: Optimizer) -> Self:
        """Reports on a layer and its sub-layers, including shared ones.

        Args:
            layer: A `TableLayer`, or a layer composed of them.
            full: Parameters of the uncompressed tables, or None.
            optimizer: An optimizer or its name, for the size of its slots.
        """
        return cls.of_parts(layers_within(layer), full, optimizer)

    @classmethod
    def of_parts(
        cls, parts: Sequence[Any], full: int | None, optimizer: Optimizer
    ) -> Self:
        """Reports on a sequence of `TableLayer`s without duplicates."""
        parameters = floats = trained = index = serving = unserved = slots = 0
        packed = dict.fromkeys(MODES, 0)
        for part in parts:
            size = itemsize(part.variable_dtype)
            for name, table in part.tables().items():
                if table.dtype is not None:
                    index += table.bytes
                    unserved += table.bytes * table.training
                    continue
                small = {m: part.packed_bytes(table, m) for m in MODES}
                parameters += table.size
                floats += size * table.size
                trained += size * table.size * part.trainable
                kept = slot_bytes(
                    optimizer,
                    (table.rows, table.width),
                    part.variable_dtype,
                    table.trains_rows,
                    getattr(part, f"{name}_table", None),
                )
                slots += kept * part.trainable
                packed = {m: packed[m] + small[m] for m in MODES}
                serving += small.get(part.quantization_mode, size * table.size)
        served = index - unserved
        return cls(
            parameters=parameters,
            full_parameters=full,
            index_bytes=index,
            optimizer_bytes=slots,
            training_bytes=floats + trained + slots + index,
            serving_bytes=serving + served,
            serving_bytes_int8=packed["int8"] + served,
            serving_bytes_int4=packed["int4"] + served,
            lookup_bytes=sum(part.lookup_bytes() for part in parts),
            lookup_flops=sum(part.lookup_flops() for part in parts),
        )

    @classmethod
    def of_stock_embedding(cls, layer: Any, optimizer: Optimizer) -> Self:
        """Reports on a `keras.layers.Embedding`, which is not compressed.

        Keras packs it to int8 with one scale for each row. For int4 it keeps
        a scale and a zero point for each block of a row, and the block number
        of each column.
        """
        rows, width = layer.input_dim, layer.output_dim
        size = itemsize(layer.variable_dtype)
        held = rows * width * size
        trained = held * layer.trainable
        table = layer.weights[0] if layer.built else None
        dtype = layer.variable_dtype
        slots = slot_bytes(optimizer, (rows, width), dtype, True, table)
        slots *= layer.trainable
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
            optimizer_bytes=slots,
            training_bytes=held + trained + slots,
            serving_bytes=_bytes_of(layer.weights) if mode else held,
            serving_bytes_int8=packed["int8"],
            serving_bytes_int4=packed["int4"],
            lookup_bytes=math.ceil(width * number),
            lookup_flops=0,
        )

    def plus(self, others: Sequence[Self]) -> Self:
        """Adds reports to this one, except for their `full_parameters`."""
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
    """The layer and the sub-layers that hold its tables, without duplicates."""
    found: dict[int, Any] = {}
    stack = [layer]
    while stack:
        part = stack.pop()
        if id(part) not in found:
            found[id(part)] = part
            stack.extend(part.parts())
    return list(found.values())
