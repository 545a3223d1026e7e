"""Whether a graph is being traced for export or for XLA."""

import sys
import weakref
from types import FrameType
from typing import Any

from keras import backend

_SAVERS = ("tensorflow.python.saved_model", "tensorflow.python.trackable")
# Graphs traced by these modules must load where there are no kernels.
_EXPORTERS = (
    "jax._src.export",
    "keras.src.export",
    "keras_pss.serving",
    _SAVERS[0],
)
_VECTORIZERS = ("tensorflow.python.ops.parallel_for",)

# Graphs traced by these modules are converted for runtimes that lack some of
# TensorFlow's operations.
_CONVERTERS = ("keras_pss.serving.formats", "keras_pss.serving.export_formats")

# For each live TensorFlow graph, whether it is being exported.
_exported: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


def exporting(*values: Any) -> bool:
    """Whether a graph is being traced for export.

    The call stack is searched at most once per TensorFlow graph, and never for
    eager calls.

    Args:
        *values: Tensors and variables of the call. On JAX they show whether it
            is being traced.
    """
    if backend.backend() == "jax":
        import jax

        held = [getattr(value, "value", value) for value in values]
        traced = any(isinstance(value, jax.core.Tracer) for value in held)
        return traced and _called_from(_EXPORTERS)
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    if graph not in _exported:
        _exported[graph] = _called_from(_EXPORTERS)
    return _exported[graph]


def saving() -> bool:
    """Whether TensorFlow traces a graph of its own accord, to save a model.

    That is Keras' default signature, which each object that is saved has
    beside the signatures that a user asks for.
    """
    return _called_from(_SAVERS)


def vectorizing() -> bool:
    """Whether TensorFlow traces a function to vectorize it.

    `tf.vectorized_map` and Jacobians do. They know neither kernels nor
    operations whose results have an unknown number of rows.
    """
    if backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.executing_eagerly() and _called_from(_VECTORIZERS)


def converting() -> bool:
    """Whether a TensorFlow graph is traced for another runtime.

    Such a graph has the operations that all runtimes have, and no branches.
    """
    import tensorflow as tf

    return not tf.executing_eagerly() and _called_from(_CONVERTERS)


def _called_from(modules: tuple[str, ...]) -> bool:
    """Searches the call stack: layers get no other sign of an export."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(modules):
            return True
        frame = frame.f_back
    return False


def under_xla() -> bool:
    """Whether a TensorFlow graph is being traced under `jit_compile=True`."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False
