"""The function that other formats hold: ids and raw numbers to probability."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_pss.ops.dense_transform import transform_dense
from keras_pss.serving.check_rows import CATEGORICAL, PADDING
from keras_pss.serving.endpoints import input_spec, named, traced
from keras_pss.serving.signature_names import signature_names

if TYPE_CHECKING:
    from keras_pss.data.storage.log_encoding import LogEncoding

NUMBERS = "numbers"
_DENSE = "dense"


@dataclass(frozen=True)
class NumberRules:
    """How raw numbers become a model's dense features, all arrays (n,).

    x = fill                          where a number is missing (NaN)
    x = min(max(number, low), high)   elsewhere
    y = (log1p(x) or x, minus mean) / deviation
    """

    names: tuple[str, ...]
    fill: Any
    low: Any
    high: Any
    logarithmic: Any
    mean: Any
    deviation: Any

    @classmethod
    def of(cls, encoding: "LogEncoding") -> "NumberRules":
        """The rules of a log's dense features."""
        largest = float(np.finfo(np.float32).max)
        names: list[str] = []
        fill: list[float] = []
        low: list[float] = []
        high: list[float] = []
        for feature in encoding.schema.dense:
            size = feature.size
            lowest = -largest if feature.minimum is None else feature.minimum
            highest = largest if feature.maximum is None else feature.maximum
            if feature.missing == "mean":
                # It is filled after the others were clipped.
                fill += encoding.statistics[feature.name]["missing"]
            else:
                kept = min(max(float(feature.missing), lowest), highest)
                fill += [kept] * size
            low += [lowest] * size
            high += [highest] * size
            names += (
                [feature.name]
                if size == 1
                else [f"{feature.name}[{k}]" for k in range(size)]
            )
        filled, least, most = (
            np.array(x, np.float32) for x in (fill, low, high)
        )
        transform = encoding.transform()
        return cls(tuple(names), filled, least, most, *transform)

    def __call__(self, numbers: Any) -> Any:
        """Dense features float32 (batch, n) of raw numbers."""
        import tensorflow as tf

        # NaN is neither and not itself; some runtimes err in one of the two.
        there = (numbers >= 0) | (numbers < 0)
        there &= tf.equal(numbers, numbers)
        kept = tf.minimum(tf.maximum(numbers, self.low), self.high)
        return transform_dense(
            tf.where(there, kept, self.fill),
            self.logarithmic,
            self.mean,
            self.deviation,
        )


def _marked(probability: Any, ids: Any, sizes: list[int], least: int) -> Any:
    """NaN for the rows with an out-of-range id.

    Layers have NaN in place of such an embedding, but the ReLU of some
    runtimes makes 0 of NaN.
    """
    import tensorflow as tf

    # Signs, since some runtimes compare integers as float32. The second
    # difference may overflow for negative ids, which are wrong anyway.
    bound = tf.constant(sizes, ids.dtype)
    wrong = (ids - least < 0) | (ids - bound >= 0)
    count = tf.reduce_sum(tf.cast(wrong, tf.float32), axis=-1)
    return tf.where(count > 0, float("nan"), probability)


@dataclass(frozen=True)
class Portable:
    """A model as a function of dense tensors, for any format.

    Attributes:
        function: The traced function from a dictionary of inputs to
            `{"probability": (batch,) float32}`.
        inputs: Symbolic inputs of the model by their names in the function.
        rules: What the function does with `numbers`, the raw numbers; None if
            it takes the model's own inputs.
    """

    function: Any
    inputs: dict[str, Any]
    rules: NumberRules | None

    @classmethod
    def of(
        cls,
        model: keras.Model,
        encoding: "LogEncoding | None",
        output_name: str,
        limits: dict[str, list[int]],
    ) -> "Portable":
        """A Functional model, with the transform of numbers inside.

        Args:
            model: A Functional model with dense inputs and one output of
                shape (batch, 1).
            encoding: The log that the model was trained on. Default: None,
                the function takes the numbers that the model takes.
            output_name: Name of the output.
            limits: Numbers of ids as `check_rows.id_limits` gives them.
        """
        inputs = model.inputs
        names = signature_names([x.name for x in inputs])
        by_name = {names[x.name]: x for x in inputs}
        dense = names.get(_DENSE, "")
        rules = None
        if dense and encoding is not None and encoding.schema.dense:
            rules = NumberRules.of(encoding)
        specs = {
            (NUMBERS if rules and name == dense else name): input_spec(x, name)
            for name, x in by_name.items()
        }
        if rules:
            width = len(rules.names)
            specs[NUMBERS] = input_spec(
                keras.KerasTensor((None, width), "float32"), NUMBERS
            )

        def call(given: dict[str, Any]) -> Any:
            given = dict(given)
            if rules is not None:
                given[dense] = rules(given.pop(NUMBERS))
            values = [
                given[names[x.name]] for x in keras.tree.flatten(model.input)
            ]
            packed = keras.tree.pack_sequence_as(model.input, values)
            found = named(model(packed, training=False), output_name)
            for name, sizes in limits.items():
                least = 0 if name == CATEGORICAL else PADDING
                found[output_name] = _marked(
                    found[output_name], given[names[name]], sizes, least
                )
            return found

        return cls(traced(call, specs), by_name, rules)
