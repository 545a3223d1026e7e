"""Serialized `tf.train.Example` as the inputs of a model."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_pss.serving.checked import checked

_FLOATS = ("bfloat16", "float16", "float32", "float64")
_INT64 = ("int8", "int16", "int32", "int64", "uint8", "uint16")


class Examples:
    """Parses serialized examples into tensors of symbolic inputs.

    The features of an example have the names of the inputs. A text is a
    `bytes_list`, an integer an `int64_list`, and another number a
    `float_list`, which holds float32.

    A text that is missing is `""`, and a raw number that is missing is NaN;
    ids, transformed numbers and times must be there.

    Args:
        inputs: Dense symbolic inputs by the names of the features.
        raw: Whether the inputs are raw columns, where text and numbers may be
            missing. Default: False.
        integers: Names of the raw numbers that are integers.
        weights: Pairs of the names of a list of texts and of its weights.

    Call arguments:
        serialized: Serialized examples, string (batch,).

    Returns:
        Dictionary of tensors by the names of the inputs.
    """

    def __init__(
        self,
        inputs: Mapping[str, Any],
        raw: bool = False,
        integers: frozenset[str] = frozenset(),
        weights: Iterable[tuple[str, str]] = (),
    ):
        self._inputs = dict(inputs)
        self._raw = raw
        self._integers = integers
        self._weights = tuple(weights)

    @staticmethod
    def hold(inputs: Mapping[str, Any]) -> bool:
        """Whether examples can hold the inputs of a model."""
        return all(
            not (x.ragged or x.sparse)
            and len(x.shape) in (1, 2)
            and None not in x.shape[1:]
            and (x.dtype in (*_INT64, *_FLOATS, "string"))
            for x in inputs.values()
        )

    def __call__(self, serialized: Any) -> dict[str, Any]:
        import tensorflow as tf

        specs = {name: self._feature(name) for name in self._inputs}
        found = tf.io.parse_example(serialized, specs)
        for name, other in self._weights:
            lengths = found[other].row_lengths()
            same = tf.equal(found[name].row_lengths(), lengths)
            found[other] = found[other].with_values(
                checked(
                    found[other].values,
                    same,
                    f"Feature `{other}` must have as many values as `{name}`.",
                    lengths,
                )
            )
        return {name: self._tensor(name, x) for name, x in found.items()}

    def serialized(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """Serialized examples of rows, objects (batch,).

        Args:
            rows: Arrays by the names of the inputs. Padding at the end of
                lists of raw columns is left out.
        """
        import tensorflow as tf

        count = len(next(iter(rows.values())))
        examples = [tf.train.Example() for _ in range(count)]
        for name, values in rows.items():
            x = self._inputs[name]
            lists = None in x.shape[1:]
            for example, row in zip(examples, values, strict=True):
                feature = example.features.feature[name]
                found = np.ravel(np.asarray(row, object)).tolist()
                if x.dtype == "string":
                    found = [tf.compat.as_bytes(text) for text in found]
                    kept = _ended(found, b"") if lists else found
                    feature.bytes_list.value.extend(kept)
                elif x.dtype in _INT64:
                    feature.int64_list.value.extend(map(int, found))
                elif name in self._integers:
                    if not any(value != value for value in found):
                        feature.int64_list.value.extend(map(int, found))
                else:
                    kept = _ended(found, None) if lists else found
                    feature.float_list.value.extend(kept)
        return np.array([x.SerializeToString() for x in examples], object)

    def _feature(self, name: str) -> Any:
        """What an example holds for an input."""
        import tensorflow as tf

        x = self._inputs[name]
        shape = tuple(x.shape[1:])
        if x.dtype == "string":
            if None in shape:
                return tf.io.RaggedFeature(tf.string)
            return tf.io.FixedLenFeature(shape, tf.string, _filled("", shape))
        if x.dtype in _INT64:
            return tf.io.FixedLenFeature(shape, tf.int64)
        if name in self._integers:
            return tf.io.RaggedFeature(tf.int64)  # with no value if missing
        if None in shape:
            return tf.io.RaggedFeature(tf.float32)
        missing = _filled(float("nan"), shape) if self._raw else None
        return tf.io.FixedLenFeature(shape, tf.float32, missing)

    def _tensor(self, name: str, found: Any) -> Any:
        """A parsed feature in the shape and dtype of its input."""
        import tensorflow as tf

        x = self._inputs[name]
        if x.dtype == "string":
            return _padded(found, "")
        if x.dtype in _INT64:
            dtype = tf.as_dtype(x.dtype)
            valid = (found >= dtype.min) & (found <= dtype.max)
            rule = f"Feature `{name}` must hold {x.dtype}."
            return tf.cast(checked(found, valid, rule), dtype)
        if name in self._integers:
            found = self._integer(name, found)
        return tf.cast(_padded(found, float("nan")), x.dtype)

    def _integer(self, name: str, found: Any) -> Any:
        """Optional integers as float64, NaN where there are none."""
        import tensorflow as tf

        size = 1 if len(self._inputs[name].shape) == 1 else None
        size = size or self._inputs[name].shape[1]
        lengths = found.row_lengths()
        valid = (lengths == 0) | (lengths == size)
        rule = f"Feature `{name}` must hold {size} values or none."
        values = tf.cast(
            checked(found.values, valid, rule, lengths), tf.float64
        )
        numbers = found.with_values(values).to_tensor(
            tf.constant(float("nan"), tf.float64), shape=(None, size)
        )
        return numbers[:, 0] if len(self._inputs[name].shape) == 1 else numbers


def _ended(values: list[Any], padding: Any) -> list[Any]:
    """Values without the padding at the end; None stands for NaN."""
    found = list(values)
    while found and (
        found[-1] != found[-1] if padding is None else found[-1] == padding
    ):
        found.pop()
    return found


def _filled(value: Any, shape: tuple[int, ...]) -> Any:
    return [value] * shape[0] if shape else value


def _padded(found: Any, padding: Any) -> Any:
    """A dense tensor of parsed values."""
    import tensorflow as tf

    if isinstance(found, tf.RaggedTensor):
        return found.to_tensor(padding)
    return found


def raw_examples(preprocessing: keras.Model) -> Examples:
    """The parser of examples that hold the raw columns of a log.

    Args:
        preprocessing: The result of `raw_rows.preprocessing`.
    """
    from keras_pss.serving.raw_rows.layers.numbers import Numbers
    from keras_pss.serving.raw_rows.layers.packed_lists import PackedLists
    from keras_pss.serving.raw_rows.layers.present_text import PresentText

    names = {id(x): x.name for x in preprocessing.inputs}
    integers: set[str] = set()
    by_column: dict[str, str] = {}
    weights: set[tuple[str, str]] = set()
    for layer in preprocessing.layers:
        if isinstance(layer, Numbers) and id(layer.input) in names:
            if layer.integer:
                integers.add(layer.input.name)
        elif isinstance(layer, PresentText) and id(layer.input) in names:
            by_column[layer.column] = layer.input.name
    for layer in preprocessing.layers:
        if not isinstance(layer, PackedLists):
            continue
        given = keras.tree.flatten(layer.input)
        if len(given) == 2 and id(given[1]) in names:
            weights.add((by_column[layer.column], given[1].name))
    return Examples(
        preprocessing.input, True, frozenset(integers), sorted(weights)
    )
