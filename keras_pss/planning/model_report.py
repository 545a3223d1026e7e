"""The memory report of a model or layer: each table and the total."""

from dataclasses import asdict, dataclass
from typing import Any

import keras

from keras_pss.layers.base import walk
from keras_pss.layers.base.memory import MemoryReport, layers_within
from keras_pss.layers.base.tables import TableLayer
from keras_pss.optimizers.slots import (
    Optimizer,
    check_optimizer,
    optimizer_name,
)
from keras_pss.text_tables import byte_size

_COLUMNS = {
    "parameters": "parameters",
    "full_parameters": "uncompressed",
    "compression": "ratio",
    "index_bytes": "index",
    "optimizer_bytes": "optimizer",
    "training_bytes": "training",
    "serving_bytes": "serving",
    "serving_bytes_int8": "int8",
    "serving_bytes_int4": "int4",
    "lookup_bytes": "a lookup",
    "lookup_flops": "FLOPs",
}


@dataclass(frozen=True)
class ModelReport:
    """Memory reports of a model's embedding layers; `print` shows a table.

    Attributes:
        layers: One report for each embedding layer, by layer name.
        total: The report of all layers together; memory that several layers
            share is counted once.
        other_parameters: Number of trained parameters in the rest of the
            model.
        optimizer: Name of the optimizer that the report assumes.
    """

    layers: dict[str, MemoryReport]
    total: MemoryReport
    other_parameters: int
    optimizer: str

    def as_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "layers": {k: r.as_dict() for k, r in self.layers.items()},
            "total": self.total.as_dict(),
        }

    def __str__(self) -> str:
        reports = [*self.layers.items(), ("all tables", self.total)]
        lines = [["layer", *_COLUMNS.values()]]
        for name, report in reports:
            numbers = report.as_dict()
            lines.append([name, *(_shown(k, numbers[k]) for k in _COLUMNS)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(
                cell.rjust(width) if k else cell.ljust(width)
                for k, (cell, width) in enumerate(
                    zip(line, widths, strict=True)
                )
            ).rstrip()
            for line in lines
        ]
        text.insert(1, "-" * max(map(len, text)))
        text.insert(-1, text[1])
        text.append(
            f"optimizer: {self.optimizer}; other trained parameters of the "
            f"model: {self.other_parameters:,}"
        )
        return "\n".join(text)


def memory_report(
    model: keras.layers.Layer, optimizer: Optimizer | None = None
) -> ModelReport:
    """Memory of a model's embedding tables in training and serving.

    Args:
        model: A built model, or any layer, such as a collection. Stock
            `keras.layers.Embedding`s are listed as well.
        optimizer: An optimizer, or a name such as `"adam"`, `"adagrad"` or
            `"momentum"`, which stands for Keras' defaults; `"lazy_adam"`,
            `"rowwise_adagrad"` and `"lazy_sgd"` stand for those of this
            package for tables of rows, and Adam for other weights. Default:
            that of the compiled model, else `"adam"`.

    Returns:
        A `ModelReport`. Print it, or call `as_dict()`.

    Raises:
        ValueError: If `model` is neither a model nor a layer, or if the
            optimizer is unknown.

    Example:

    ```python
    ids = keras.Input((4,), dtype="int32")
    rows = keras_pss.embedding(1_000_000, 16, method="robe", budget="100x")(ids)
    report = keras_pss.memory_report(keras.Model(ids, rows))
    report.total.parameters  # 160000
    ```
    """
    if not isinstance(model, keras.layers.Layer):
        raise ValueError(
            "`model` must be a Keras model or layer, an instance rather than a "
            "class. "
            f"Received: model={model!r}"
        )
    optimizer = optimizer or getattr(model, "optimizer", None) or "adam"
    check_optimizer(optimizer)
    found = walk.outermost(
        model,
        lambda layer: (
            hasattr(layer, "memory_report")
            or isinstance(layer, keras.layers.Embedding)
            # Within a model, the layers that share a SharedMemory report it.
            or (layer is model and isinstance(layer, TableLayer))
        ),
    )
    layers = list({id(layer): layer for layer in found}.values())
    reports: dict[str, MemoryReport] = {}
    for layer in layers:
        name = layer.name
        while name in reports:  # a layer of another sub-model
            name += "'"
        reports[name] = _report(layer, optimizer)
    tables = [layer for layer in layers if hasattr(layer, "parts")]
    stock = [
        _report(layer, optimizer) for layer in layers if layer not in tables
    ]
    # Several bags of one embedding represent one table.
    fulls = [
        report.full_parameters
        for report in {
            id(_embedding(layer)): report
            for layer, report in zip(layers, reports.values(), strict=True)
        }.values()
    ]
    parts = {id(p): p for layer in tables for p in layers_within(layer)}
    total = MemoryReport.of_parts(
        list(parts.values()),
        None if None in fulls else sum(filter(None, fulls)),
        optimizer,
    ).plus(stock)
    embedded = {id(w) for layer in layers for w in layer.trainable_weights}
    others = [w for w in model.trainable_weights if id(w) not in embedded]
    return ModelReport(
        reports,
        total,
        sum(_size(weight) for weight in others),
        optimizer_name(optimizer),
    )


def _embedding(layer: Any) -> Any:
    """The embedding wrapped by bags and hot rows."""
    while hasattr(layer, "embedding"):
        layer = layer.embedding
    return layer


def _report(layer: Any, optimizer: Optimizer) -> MemoryReport:
    if hasattr(layer, "memory_report"):
        return layer.memory_report(optimizer)
    if isinstance(layer, TableLayer):
        return MemoryReport.of(layer, None, optimizer)
    return MemoryReport.of_stock_embedding(layer, optimizer)


def _size(weight: Any) -> int:
    size = 1
    for length in weight.shape:
        size *= length
    return size


def _shown(column: str, value: Any) -> str:
    if value is None:
        return "open"
    if column == "compression":
        return f"{value:,.4g}x"
    if column.endswith(("bytes", "int8", "int4")):
        return byte_size(value)
    return f"{value:,}"
