"""OpenVINO, for processors of Intel's."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.serving.endpoints import PROBABILITY

FILE = "model.xml"


# Operations on integers that OpenVINO computes in float32 on CPUs.
_ROUNDED = {
    "Divide",
    "Equal",
    "FloorMod",
    "Greater",
    "GreaterEqual",
    "Less",
    "LessEqual",
    "Maximum",
    "Minimum",
    "Mod",
    "NotEqual",
}
_EXACT = 2**24
_DIVIDES = {"Divide", "FloorMod", "Mod"}


def write(function: Any, folder: Path, largest: int) -> None:
    """Converts a function to OpenVINO's representation.

    Args:
        function: A traced `tf.function` of a dictionary of tensors, which
            reads variables.
        folder: Where `model.xml` and `model.bin` are written.
        largest: The largest id that the model takes.

    Raises:
        ValueError: If an operation on ids would round them.
        Exception: What OpenVINO raises if it lacks an operation.
    """
    import openvino
    import tensorflow as tf

    (specs,) = function.input_signature
    names = sorted(specs)

    # OpenVINO names inputs by their order.
    flat = tf.function(
        lambda *given: function(dict(zip(names, given, strict=True)))[
            PROBABILITY
        ],
        input_signature=[specs[name] for name in names],
        autograph=False,
    )
    flat.get_concrete_function()
    model = openvino.convert_model(flat)
    rounded = _rounded(model)
    if rounded & _DIVIDES:
        raise ValueError(
            f"it computes {', '.join(sorted(rounded & _DIVIDES))} of integers "
            "in float32, which does not give the exact quotient of all ids"
        )
    if rounded and largest > _EXACT:
        raise ValueError(
            f"it computes {', '.join(sorted(rounded))} of integers in float32, "
            f"which is exact up to {_EXACT:,}, and ids go up to {largest:,}"
        )
    for given, name in zip(model.inputs, names, strict=True):
        given.tensor.set_names({name})
    model.outputs[0].tensor.set_names({PROBABILITY})
    openvino.save_model(model, folder / FILE, compress_to_fp16=False)


def _rounded(model: Any) -> set[str]:
    """The operations on a batch of integers that are computed as floats."""
    found = set()
    for node in model.get_ops():
        if node.get_type_name() not in _ROUNDED:
            continue
        if not node.inputs()[0].get_element_type().is_integral_number():
            continue
        zero = any(_is_zero(source) for source in node.inputs())
        # The sign of an integer stays. Shapes are small numbers.
        if not zero and node.output(0).get_partial_shape().is_dynamic:
            found.add(node.get_type_name())
    return found


def _is_zero(source: Any) -> bool:
    node = source.get_source_output().get_node()
    return node.get_type_name() == "Constant" and not np.any(node.data)


def load(folder: Path, threads: int = 1) -> Any:
    """The probabilities (batch,) of a dictionary of arrays, by OpenVINO."""
    import openvino

    compiled = openvino.Core().compile_model(
        folder / FILE,
        "CPU",
        # Processors with bfloat16 would round to it otherwise.
        {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads},
    )
    return lambda rows: np.ravel(compiled(rows)[PROBABILITY])
