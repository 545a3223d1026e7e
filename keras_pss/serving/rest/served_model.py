"""A SavedModel in memory."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_pss.messages import did_you_mean, shown
from keras_pss.serving.rest.json_tensors import INSTANCES, arrays, as_json
from keras_pss.serving.rest.request_error import RequestError
from keras_pss.serving.rest.tensor_spec import TensorSpec

logger = logging.getLogger(__name__)
DEFAULT_SIGNATURE = "serving_default"
# Lines around the reason, such as that of a graph's node and its stack trace.
_AROUND = (
    "Graph execution error",
    "Detected at node",
    "<stack traces unavailable>",
    "Stack trace for op definition",
    "  File ",
    "    ",
    "\t",
)
# "2 root error(s) found." and before each of them "  (0) INVALID_ARGUMENT: ".
_NUMBERED = re.compile(r"^\s*\(\d+\) [A-Z_]+:\s*|^\d+ root error\(s\) found\.")
_NODE = re.compile(r"^\{\{function_node [^}]*\}\}\s*")
_ASSERTION = re.compile(r"^assertion failed: \[(.*?)\] \[(.*)\]$")
_OPERATION = re.compile(r"\s*\[Op:\w+\](\s*name:.*)?$")
# What TensorFlow raises for files that are empty, cut off or overwritten.
_DAMAGES = (
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    tf.errors.OpError,
)
_KEYS = ("signature_name", "instances", "inputs")


@dataclass(frozen=True)
class Signature:
    """A function of a SavedModel with its inputs and outputs."""

    function: Any
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        tensors = {
            name: tf.constant(inputs[name], spec.dtype, inputs[name].shape)
            for name, spec in self.inputs.items()
        }
        return {k: v.numpy() for k, v in self.function(**tensors).items()}


class ServedModel:
    """Answers requests in the form of TensorFlow Serving's REST API.

    It needs TensorFlow alone, and is called from several threads at once.

    Args:
        folder: Folder of a SavedModel.
        name: Name of the model in addresses.
        version: Its version.
        max_rows: Rows that a request may have.

    Raises:
        ValueError: If the SavedModel has no signatures or cannot be loaded.
    """

    def __init__(
        self, folder: Path | str, name: str, version: int, max_rows: int
    ):
        self.name = name
        self.version = version
        self.max_rows = max_rows
        try:
            # Whoever drops it drops the variables of its signatures.
            self._loaded = tf.saved_model.load(str(folder))
        except _DAMAGES as error:
            raise ValueError(
                f"TensorFlow cannot load the SavedModel in {folder}. It may "
                "be incomplete, or of a newer version of TensorFlow: "
                f"{reason(str(error))}"
            ) from error
        self.signatures: dict[str, Signature] = {
            key: Signature(
                function,
                _specs(function.structured_input_signature[1]),
                _specs(function.structured_outputs),
            )
            for key, function in self._loaded.signatures.items()
        }
        if not self.signatures:
            raise ValueError(
                f"The SavedModel in {folder} has no signatures. Write it with "
                "`keras-pss export` or `export_saved_model`."
            )

    def predict(self, body: Any) -> dict[str, Any]:
        """Answers a request.

        Args:
            body: The request's JSON: `"instances"` or `"inputs"`, and
                optionally `"signature_name"`.

        Returns:
            `{"predictions": [...]}` or `{"outputs": ...}`.

        Raises:
            RequestError: If the request or a value in it is wrong.
        """
        if not isinstance(body, dict):
            raise RequestError(
                'A request is an object with "instances" or "inputs". '
                f"Received: {shown(body)}"
            )
        for key in body:
            if key not in _KEYS:
                raise RequestError(
                    f"A request has the keys {', '.join(_KEYS)}. Received: "
                    f"{shown(key)}.{did_you_mean(key, _KEYS)}"
                )
        signature = self._signature(
            body.get("signature_name", DEFAULT_SIGNATURE)
        )
        inputs = arrays(body, signature.inputs, self.max_rows)
        try:
            outputs = signature(inputs)
        except (
            tf.errors.InvalidArgumentError,
            tf.errors.OutOfRangeError,
        ) as error:
            raise RequestError(reason(error.message)) from error
        except UnicodeDecodeError as error:
            # TensorFlow's message shows the value, which is no UTF-8.
            raise RequestError(
                reason(error.object.decode(errors="backslashreplace"))
            ) from error
        except tf.errors.ResourceExhaustedError as error:
            raise RequestError(
                "The server has not enough memory for these rows. Send fewer "
                "at once.",
                status=503,
            ) from error
        rows = len(body[INSTANCES]) if INSTANCES in body else None
        return as_json(outputs, rows)

    def warm_up(self) -> None:
        """Calls each signature once: TensorFlow optimizes graphs when called.

        The values are zeros and empty texts, which a model may refuse.
        """
        for key, signature in self.signatures.items():
            try:
                signature({k: _zeros(x) for k, x in signature.inputs.items()})
            except (TypeError, ValueError, tf.errors.OpError) as error:
                logger.debug("Warming up %s: %s", key, reason(str(error)))

    def _signature(self, name: Any) -> Signature:
        if not isinstance(name, str) or name not in self.signatures:
            raise RequestError(
                f'"signature_name" must be one of '
                f"{', '.join(map(repr, self.signatures))}. Received: "
                f"{shown(name)}"
            )
        return self.signatures[name]


def _specs(tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(
            name,
            x.dtype.name,
            None if x.shape.rank is None else tuple(x.shape),
        )
        for name, x in tensors.items()
    }


def _zeros(spec: TensorSpec) -> np.ndarray:
    shape = [1 if size is None else size for size in spec.shape or ()]
    if spec.dtype == "string":
        return np.full(shape, b"", object)
    return np.zeros(shape, spec.dtype)


def reason(message: str) -> str:
    """What is wrong, of TensorFlow's message, without where in the graph."""
    for line in message.splitlines():
        line = _NUMBERED.sub("", line)
        if line.strip() and not line.startswith(_AROUND):
            line = _OPERATION.sub("", _NODE.sub("", line)).strip()
            return _ASSERTION.sub(r"\1 \2", line).replace("\\'", "'")
    return "TensorFlow refused the values."
