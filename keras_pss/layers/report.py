"""The memory report of a layer: what is trained, kept beside it and served."""

import dataclasses
from typing import Any, Self

from keras_pss.ops import gather

# Float copies of each trainable weight that Keras' optimizers keep.
OPTIMIZER_SLOTS = {
    "sgd": 0,
    "momentum": 1,
    "adagrad": 1,
    "rmsprop": 1,
    "adam": 2,
    "adamw": 2,
    "ftrl": 2,
}


@dataclasses.dataclass(frozen=True)
class MemoryReport:
    """Sizes of an embedding layer.

    Attributes:
        parameters: Numbers that the layer keeps (trained, or packed).
        full_parameters: Numbers of the table that it stands for; None for an
            open vocabulary.
        index_bytes: Bytes of tables that are not trained: codes, permutations.
        optimizer_bytes: Bytes that the named optimizer keeps while training.
        training_bytes: Parameters, gradients and optimizer.
        serving_bytes: Bytes of the weights as they are now.
        serving_bytes_int8: Bytes after `quantize("int8")`.
    """

    parameters: int
    full_parameters: int | None
    index_bytes: int
    optimizer_bytes: int
    training_bytes: int
    serving_bytes: int
    serving_bytes_int8: int

    @property
    def compression(self) -> float | None:
        """How many times fewer parameters than the full table."""
        if self.full_parameters is None:
            return None
        return self.full_parameters / self.parameters

    @classmethod
    def of(cls, layer: Any, full: int | None, optimizer: str) -> Self:
        """Reports on a layer made of `TableLayer`s, shared ones included."""
        if optimizer not in OPTIMIZER_SLOTS:
            raise ValueError(
                "`optimizer` must be one of "
                f"{', '.join(map(repr, OPTIMIZER_SLOTS))}. "
                f"Received: optimizer={optimizer!r}"
            )
        tables = [
            (part, table)
            for part in _flatten(layer)
            for table in part.tables().values()
        ]
        parameters = sum(table.size for _, table in tables)
        slots = OPTIMIZER_SLOTS[optimizer]
        floats = sum(_itemsize(part) * t.size for part, t in tables)
        packed = [t.size + _itemsize(part) * _groups(t) for part, t in tables]
        serving = sum(
            size if part.quantization_mode else _itemsize(part) * table.size
            for (part, table), size in zip(tables, packed, strict=True)
        )
        return cls(
            parameters=parameters,
            full_parameters=full,
            index_bytes=0,
            optimizer_bytes=slots * floats,
            training_bytes=(slots + 2) * floats,
            serving_bytes=serving,
            serving_bytes_int8=sum(packed),
        )

    def as_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "compression": self.compression}


def _itemsize(layer: Any) -> int:
    """Bytes of a float of the layer's variables."""
    return {"float64": 8, "float32": 4}.get(layer.variable_dtype, 2)


def _groups(table: Any) -> int:
    return -(-table.rows // gather.int8_group(table.width))


def _flatten(layer: Any) -> list[Any]:
    """The layer and its sub-layers, each once."""
    found: dict[int, Any] = {}
    stack = [layer]
    while stack:
        part = stack.pop()
        if id(part) not in found:
            found[id(part)] = part
            stack.extend(part.parts())
    return list(found.values())
