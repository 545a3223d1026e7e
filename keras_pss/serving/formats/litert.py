"""LiteRT (TensorFlow Lite), for phones and small devices."""

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.serving.endpoints import PROBABILITY, SERVING_DEFAULT

FILE = "model.tflite"


def write(function: Any, folder: Path, largest: int) -> None:
    """Converts a function to LiteRT's own operations.

    Args:
        function: A traced `tf.function` of a dictionary of tensors, which
            reads variables.
        folder: Where `model.tflite` is written.
        largest: The largest id that the model takes; any is exact.

    Raises:
        Exception: What TensorFlow raises if LiteRT lacks an operation.
    """
    import tensorflow as tf

    module = tf.Module()
    concrete = function.get_concrete_function()
    module.held = list(concrete.variables)
    with tempfile.TemporaryDirectory() as saved:
        tf.saved_model.save(
            module, saved, signatures={SERVING_DEFAULT: concrete}
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(
            saved, signature_keys=[SERVING_DEFAULT]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        # The weights become constants, which interpreters map into memory.
        converter.experimental_enable_resource_variables = False
        with contextlib.redirect_stdout(io.StringIO()):
            content = converter.convert()
    (folder / FILE).write_bytes(content)


def load(folder: Path, threads: int = 1) -> Any:
    """The probabilities (batch,) of a dictionary of arrays, by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / FILE), num_threads=threads)
    run = interpreter.get_signature_runner(SERVING_DEFAULT)
    return lambda rows: np.ravel(run(**rows)[PROBABILITY])
