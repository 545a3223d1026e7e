"""The functions that a SavedModel serves."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from keras_pss.serving.examples import Examples, raw_examples
from keras_pss.serving.signature_names import signature_names

if TYPE_CHECKING:
    from keras_pss.serving.raw_rows.raw_scorer import RawScorer

PROBABILITY = "probability"
SERVING_DEFAULT = "serving_default"
SERVE_RAW = "serve_raw"
SERVE_EXAMPLES = "serve_examples"
EXAMPLES = "examples"  # the input of `serve_examples`


def endpoints(
    model: keras.Model,
    scorer: "RawScorer | None" = None,
    output_name: str = PROBABILITY,
) -> dict[str, Any]:
    """The traced functions of a SavedModel, by their names.

    Args:
        model: A Functional model.
        scorer: What scores raw rows. Default: None, without `serve_raw`.
        output_name: Name of the only output, if its shape is (batch, 1).
    """
    alone = isinstance(model, keras.Sequential)
    structure = model.inputs[0] if alone else model.input
    names = signature_names([x.name for x in model.inputs])
    inputs = {names[x.name]: x for x in keras.tree.flatten(structure)}
    specs = {name: input_spec(x, name) for name, x in inputs.items()}
    packed = keras.tree.pack_sequence_as(structure, list(specs.values()))
    serve = traced(lambda given: model(given, training=False), packed)

    def default(given: dict[str, Any]) -> Any:
        values = [given[name] for name in inputs]
        found = serve(keras.tree.pack_sequence_as(structure, values))
        return named(found, output_name)

    found = {"serve": serve, SERVING_DEFAULT: traced(default, specs)}
    if scorer is not None:
        raw = {name: input_spec(x, name) for name, x in scorer.inputs.items()}
        found[SERVE_RAW] = traced(
            lambda given: named(scorer(given), output_name), raw
        )
        parse, call = raw_examples(scorer.preprocessing), found[SERVE_RAW]
    else:
        if not Examples.hold(inputs):
            return found
        parse, call = Examples(inputs), found[SERVING_DEFAULT]
    found[SERVE_EXAMPLES] = traced(
        lambda serialized: call(parse(serialized)), _serialized()
    )
    return found


def named(outputs: Any, name: str) -> Any:
    """The outputs of a model as a signature gives them."""
    import tensorflow as tf

    shape = getattr(outputs, "shape", None)
    if shape is None or shape.rank != 2 or shape[1] != 1:
        return outputs
    return {name: tf.cast(outputs[:, 0], tf.float32)}


def traced(call: Callable[[Any], Any], spec: Any) -> Any:
    """A function of one structure of tensors, traced."""
    import tensorflow as tf

    # Parameters of a signature would get the name of this one.
    function = tf.function(
        lambda inputs: call(inputs), input_signature=[spec], autograph=False
    )
    function.get_concrete_function()
    return function


def _serialized() -> Any:
    import tensorflow as tf

    return tf.TensorSpec((None,), tf.string, name=EXAMPLES)


def input_spec(x: Any, name: str) -> Any:
    """The spec of an input in the signature, for any batch size."""
    import tensorflow as tf

    shape = (None, *x.shape[1:])
    if getattr(x, "sparse", False):
        return tf.SparseTensorSpec(shape, x.dtype)
    if getattr(x, "ragged", False):
        unknown = [axis for axis, size in enumerate(shape) if size is None]
        rank = max(1, unknown[-1])
        return tf.RaggedTensorSpec(shape, x.dtype, ragged_rank=rank)
    return tf.TensorSpec(shape, x.dtype, name=name)
