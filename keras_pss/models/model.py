"""A Functional model that takes each id exactly or raises an error."""

from collections.abc import Callable
from functools import cached_property, wraps
from inspect import signature
from typing import Any

import keras

from keras_pss import keras_internals
from keras_pss.layers.composite.features.named_features import NamedFeatures
from keras_pss.ops.model_inputs import sources
from keras_pss.ops.model_inputs.exact_inputs import ExactInputs

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class Model(keras_internals.AttachedVariables, keras.Model):
    """A Functional `keras.Model` that checks its inputs before casting them.

    `keras.Model` casts its data to the dtypes of its inputs before a layer can
    check it: for an int32 input, 2^32 + 5 and 5.7 both become id 5. In this
    class, in every method, each number either reaches its layer unchanged or
    is an error. Use it for your own models with layers of this package; the
    models of `keras_pss.models` use it.

    Args:
        inputs: One `keras.Input` or a structure of several. Inputs of ids have
            `dtype="int32"`, or `"int64"` for open vocabularies.
        outputs: Outputs of layers that were called on the inputs.
        name: Name of the model.

    The models of this package take a dict. With tables by position, it has
    `"categorical": (batch, F) int32` and, if there are dense features,
    `"dense": (batch, num_dense) float`. With named tables, `"categorical"` has
    the features with one id, and each multi-hot feature `x` is an input
    `"x": (batch, length) int32`, with `"x_weights"` if it is weighted. Instead
    of `"dense"` and of `"categorical"`, each of their features may be given by
    its own name as `(batch,)` or `(batch, 1)`, in every method and form of
    data: `{"price": ..., "site_id": ..., "x": ...}`.

    Call arguments:
        inputs: For an integer input, integers of any dtype that fit into the
            input's dtype, or floats that are integers and small enough to be
            exact. Booleans are rejected.

    Raises:
        ValueError: If the name of a feature is missing or unknown. Also if a
            number does not fit into an integer input and values are known. A
            TensorFlow graph raises `InvalidArgumentError`; in compiled code,
            which cannot raise, the row is NaN.

    Example:

    ```python
    ids = keras.Input((4,), dtype="int32")
    rows = keras_pss.ROBEEmbedding(1_000_000, 16, memory_size=10_000)(ids)
    model = keras_pss.models.Model(ids, keras.layers.Flatten()(rows))
    ```

    To convert a plain model, including a loaded one, use
    `Model(plain.input, plain.output)`, or `Model(plain.inputs, plain.outputs)`
    for a `Sequential`; the result shares its layers. Inside a plain
    `keras.Model`, this model receives the data that the outer model has cast.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # Before Keras compares the names with those of the model's inputs.
        if args:
            args = (self._exact_inputs.packed(args[0]), *args[1:])
        elif "inputs" in kwargs:
            kwargs["inputs"] = self._exact_inputs.packed(kwargs["inputs"])
        return super().__call__(*args, **kwargs)

    def call(
        self,
        inputs: Any,
        training: bool | None = None,
        mask: Any = None,
        **kwargs: Any,
    ) -> Any:
        return super().call(
            self._exact_inputs(inputs),
            training=training,
            mask=mask,
            **kwargs,
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
        """Calls a method with checked data, before Keras' adapters cast it."""
        given = signature(method).bind(*args, **kwargs)
        data = given.arguments
        if data.get("x") is not None:
            data["x"] = self._exact_data(data["x"], "x")
        if data.get("validation_data") is not None:
            validation = data["validation_data"]
            if isinstance(validation, tuple | list):
                x, *rest = validation
                x = self._exact_data(x, "validation_data")
                data["validation_data"] = (x, *rest)
            else:
                data["validation_data"] = self._exact_data(
                    validation, "validation_data"
                )
        with keras_internals.variables_attached(self):
            return method(*given.args, **given.kwargs)

    def _exact_data(self, data: Any, argument: str) -> Any:
        return sources.converted(data, self._exact_inputs, argument)

    @cached_property
    def _exact_inputs(self) -> ExactInputs:
        # The inputs and layers of a Functional model never change.
        return ExactInputs.of(self, self._packs())

    def _packs(self) -> dict[str, dict[str, int]]:
        """The features within each packed input, with their lengths."""
        if not isinstance(self.input, dict):
            return {}
        packs: dict[str, dict[str, int]] = {}
        for layer in self.layers:
            if not isinstance(layer, NamedFeatures):
                continue
            for name, within in layer.packed_names().items():
                if name not in self.input:
                    continue
                if packs.setdefault(name, within) != within:
                    return {}  # the names are ambiguous
        return packs
