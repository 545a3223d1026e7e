"""A Functional model that never cuts an id."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

import keras

from keras_pss.ops.model_inputs import exact, sources

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class Model(keras.Model):
    """`keras.Model` of Keras' Functional API, with inputs that are exact.

    `keras.Model` casts whatever it is given to the dtypes of its inputs before
    a layer can check it: of an int32 input, 2^32 + 5 and 5.7 are both id 5.
    Here each number reaches its layer as the same number, or is an error,
    through every method of the model. Use it for your own models of layers of
    this package; those of `keras_pss.models` are such models.

    Args:
        inputs: One `keras.Input` or a structure of several. Ids are integers,
            `dtype="int32"`, or `"int64"` for open vocabularies.
        outputs: Outputs of layers that were called on them.
        name: Of the model.

    Call arguments:
        inputs: For an integer input, integers of any dtype that its own dtype
            holds, or floats that are whole numbers and small enough not to
            have been rounded. Booleans are refused.

    Raises:
        ValueError: For a number that an integer input does not hold, where
            values are known. A TensorFlow graph raises `InvalidArgumentError`;
            where compiled code cannot raise, the row is NaN.

    Example:

    ```python
    ids = keras.Input((4,), dtype="int32")
    rows = keras_pss.ROBEEmbedding(1_000_000, 16, memory_size=10_000)(ids)
    model = keras_pss.models.Model(ids, keras.layers.Flatten()(rows))
    ```

    A plain model, also one from a file, becomes exact by
    `Model(plain.input, plain.output)`, or `Model(plain.inputs, plain.outputs)`
    for a `Sequential`, which share its layers. As a part of a `keras.Model`
    with inputs of its own, this model gets what that one casts.
    """

    def call(
        self,
        inputs: Any,
        training: bool | None = None,
        mask: Any = None,
        **kwargs: Any,
    ) -> Any:
        return super().call(
            self._exact(inputs), training=training, mask=mask, **kwargs
        )

    @wraps(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        return self._with_exact_data(super().fit, args, kwargs)

    @wraps(keras.Model.evaluate)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        return self._with_exact_data(super().evaluate, args, kwargs)

    @wraps(keras.Model.predict)
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        return self._with_exact_data(super().predict, args, kwargs)

    @wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        return self._with_exact_data(super().train_on_batch, args, kwargs)

    @wraps(keras.Model.test_on_batch)
    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        return self._with_exact_data(super().test_on_batch, args, kwargs)

    @wraps(keras.Model.predict_on_batch)
    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        return self._with_exact_data(super().predict_on_batch, args, kwargs)

    def _with_exact_data(
        self, method: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """Calls a trainer's method; Keras' adapters would cast first."""
        given = signature(method).bind(*args, **kwargs)
        data = given.arguments
        if data.get("x") is not None:
            data["x"] = self._exact_data(data["x"])
        if data.get("validation_data") is not None:
            validation = data["validation_data"]
            if isinstance(validation, tuple | list):
                x, *rest = validation
                data["validation_data"] = (self._exact_data(x), *rest)
            else:
                data["validation_data"] = self._exact_data(validation)
        return method(*given.args, **given.kwargs)

    def _exact_data(self, data: Any) -> Any:
        if sources.is_source(data):
            return sources.mapped(data, self._exact)
        return self._exact(data)

    def _exact(self, inputs: Any) -> Any:
        """What is given, each part in its input's dtype where it is integer."""
        if not isinstance(inputs, dict):
            return _paired(inputs, self.inputs)
        structure = self.input if isinstance(self.input, dict) else {}
        named = {x.name: x for x in self.inputs} | structure
        return {
            name: _paired(x, keras.tree.flatten(named.get(name)))
            for name, x in inputs.items()
        }


def _paired(given: Any, inputs: list[Any]) -> Any:
    flat = keras.tree.flatten(given)
    if len(flat) != len(inputs) or any(x is None for x in inputs):
        return given  # Keras says what does not fit
    return keras.tree.pack_sequence_as(
        given,
        [
            exact.number(x, x_input.dtype, x_input.name)
            for x, x_input in zip(flat, inputs, strict=True)
        ],
    )
