"""ONNX, for ONNX Runtime."""

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.serving.endpoints import PROBABILITY

FILE = "model.onnx"
# From 18 on, integers have bitwise operations.
OPSET = 18


def write(function: Any, folder: Path, largest: int) -> None:
    """Converts a function to ONNX.

    Args:
        function: A traced `tf.function` of a dictionary of tensors, which
            reads variables.
        folder: Where `model.onnx` is written.
        largest: The largest id that the model takes; any is exact.

    Raises:
        Exception: What tf2onnx raises if ONNX lacks an operation.
    """
    with warnings.catch_warnings():
        # Attributes that NumPy 2 has no more.
        warnings.simplefilter("ignore")
        import tf2onnx

        with contextlib.redirect_stdout(io.StringIO()):
            tf2onnx.convert.from_function(
                function,
                list(function.input_signature),
                opset=OPSET,
                # tf2onnx compares integers as float32, which rounds them.
                custom_op_handlers={
                    "Less": (_kept, []),
                    "Greater": (_kept, []),
                    "Log1p": (_log1p, []),
                },
                output_path=str(folder / FILE),
            )


def _kept(graph: Any, node: Any, name: str, args: Any) -> Any:
    """Leaves an operation as it is: ONNX compares integers from opset 9 on."""
    return node


def _log1p(graph: Any, node: Any, name: str, args: Any) -> Any:
    """log(1 + x), which ONNX has not as one operation."""
    one = graph.make_const(f"{name}_one", np.array(1, np.float32))
    given = [node.input[0], one.output[0]]
    graph.insert_new_node_on_input(node, "Add", given)
    node.type = "Log"
    return node


def load(folder: Path, threads: int = 1) -> Any:
    """The probabilities (batch,) of a dictionary of arrays, by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(folder / FILE), options, providers=["CPUExecutionProvider"]
    )
    return lambda rows: np.ravel(session.run([PROBABILITY], rows)[0])
