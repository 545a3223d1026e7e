"""Tensor trains and rings whose cores are multiplied before they are served."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_pss.layers.base.budget import Budget
from keras_pss.layers.base.tensor_cores import CoreEmbedding
from keras_pss.layers.base.walk import every

logger = logging.getLogger(__name__)
# Of each layer, where the caller gives no other size.
DEFAULT = "64MB"


@contextmanager
def merged_cores(model: keras.Model, size: bool | str | int) -> Iterator[None]:
    """Context manager in which lookups read products of neighbouring cores.

    Each layer of a tensor train or ring gets the products that make its lookups
    cheapest within a size. Its rows agree with those of the cores to float32's
    accuracy. Afterwards the model is as it was.

    Args:
        model: A built model.
        size: Largest size of the products of each layer: bytes (`"64MB"`) or
            a number of parameters. True is `"64MB"`; False does nothing.

    Raises:
        ValueError: If `size` is not of these forms, if a layer is quantized,
            or if there is no layer with products within the size.
    """
    if size is False:
        yield
        return
    layers = every(model, CoreEmbedding)
    merged: list[Any] = []
    try:
        most = _parameters(size)
        for layer in layers:
            if layer.quantization_mode is not None:
                raise ValueError(
                    f"The cores of layer '{layer.name}' are packed, and their "
                    "products would be rounded once more. Export with "
                    "`merge_cores` or with quantized tables, not both. "
                    f"Received: merge_cores={size!r}"
                )
            if layer.merge_cores(most):
                merged.append(layer)
        if not merged:
            raise ValueError(
                "No layer of the model has tensor cores whose products make "
                "lookups cheaper within this size. Give a larger size, or "
                "export without `merge_cores`. "
                f"Received: merge_cores={size!r}, {len(layers)} layers with "
                "tensor cores"
            )
        logger.info(
            "Merged the cores of %s", ", ".join(layer.name for layer in merged)
        )
        yield
    finally:
        for layer in merged:
            layer.split_cores()


def _parameters(size: bool | str | int) -> int:
    """The number of parameters of each layer's products."""
    try:
        budget = Budget.parse(DEFAULT if size is True else size)
        return budget.parameters(None)
    except ValueError as error:
        raise ValueError(
            "`merge_cores` must be True, False, bytes ('64MB') or a positive "
            f"number of parameters. Received: merge_cores={size!r}"
        ) from error
