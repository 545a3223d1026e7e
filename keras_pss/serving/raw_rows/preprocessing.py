"""The Keras model from raw columns to the inputs of a ranking model."""

import logging
from typing import Any

import keras

from keras_pss.data.encoders.hashed_texts import OPEN_SIZE
from keras_pss.data.storage.log_encoding import LogEncoding
from keras_pss.features import (
    Categorical,
    Dense,
    MultiCategorical,
    TimeFeature,
)
from keras_pss.features.cross import SEPARATOR
from keras_pss.serving.raw_rows.layers.bucket_ids import BucketIds
from keras_pss.serving.raw_rows.layers.canonical_text import CanonicalText
from keras_pss.serving.raw_rows.layers.joined_text import JoinedText
from keras_pss.serving.raw_rows.layers.numbers import ClippedNumbers, Numbers
from keras_pss.serving.raw_rows.layers.packed_ids import PaddedIds, StackedIds
from keras_pss.serving.raw_rows.layers.packed_lists import PackedLists
from keras_pss.serving.raw_rows.layers.present_text import PresentText
from keras_pss.serving.raw_rows.layers.split_text import SameLengths, SplitText
from keras_pss.serving.raw_rows.layers.text_ids import TextIds
from keras_pss.serving.raw_rows.layers.times import Seconds, TimePart
from keras_pss.serving.raw_rows.layers.transformed import TransformedNumbers
from keras_pss.serving.raw_rows.raw_inputs import raw_inputs

logger = logging.getLogger(__name__)

MANY_TEXTS = 5_000_000
# A SavedModel is one message of at most 2^31 bytes, and each text costs about
# ten bytes beside its own: its length, and its id.
MOST_BYTES = 1_900_000_000
_TEXT_BYTES = 10


def preprocessing(encoding: LogEncoding) -> keras.Model:
    """The model from the raw columns of a log to a ranking model's inputs.

    Its inputs are those of `raw_inputs`. Its outputs are the features of
    `keras_pss.data.dataset`: `"dense"`, `"categorical"`, and ids and weights
    by the name of each multi-valued feature. A raw value gives the id that
    the prepared row has. A value for which a log's row is rejected raises an
    `InvalidArgumentError` that names the column; with TensorFlow Serving, the
    whole request fails.

    Texts run on TensorFlow alone and are never compiled by XLA, so this stays
    a model of its own beside the ranking model.

    Memory: the vocabularies, about 100 bytes for each text.

    Args:
        encoding: A prepared log, or the encoder of a run.

    Raises:
        ValueError: If Keras does not run on TensorFlow, the vocabularies are
            too large for a SavedModel, or the format of the timestamp cannot
            be read by TensorFlow.

    Example:

    ```python
    from keras_pss.data import load
    from keras_pss.serving.raw_rows import preprocessing

    raw = preprocessing(load("prepared"))
    raw({"item": tf.constant(["a", "b"]), "price": tf.constant([1.0, 2.0])})
    ```
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Raw rows hold texts, which only TensorFlow has. Set "
            "KERAS_BACKEND=tensorflow. "
            f"Received: backend={keras.backend.backend()}"
        )
    return _Features(encoding).model()


class _Features:
    """The symbolic features of a log, each value made once."""

    def __init__(self, encoding: LogEncoding):
        self._encoding = encoding
        self._schema = encoding.schema
        self._inputs = {
            raw.column: keras.Input(raw.shape, dtype=raw.dtype, name=raw.name)
            for raw in raw_inputs(encoding.schema)
        }
        self._texts: dict[Any, Any] = {}
        self._count = 0
        self._lookups = self._vocabularies()

    def model(self) -> keras.Model:
        schema = self._schema
        outputs: dict[str, Any] = {}
        if schema.dense:
            outputs["dense"] = self._dense()
        if schema.single:
            ids = [self._single(feature) for feature in schema.single]
            outputs["categorical"] = self._new(StackedIds)(ids)
        for feature in schema.multi:
            outputs |= self._multi(feature)
        inputs = {x.name: x for x in self._inputs.values()}
        return keras.Model(inputs, outputs, name="raw_rows")

    def _vocabularies(self) -> dict[str, TextIds]:
        texts = {
            name: self._encoding.vocabulary(name)
            for name, features in self._schema.tables.items()
            if not isinstance(features[0], Dense) and features[0].ids != "hash"
        }
        total = 0
        for name, values in texts.items():
            total += int(values.str.len_bytes().sum())
            total += _TEXT_BYTES * len(values)
            if len(values) > MANY_TEXTS:
                logger.warning(
                    "The table %s has %s texts, which a SavedModel of raw rows "
                    "holds in memory and takes minutes to write and load. "
                    "Consider ids='hash', or a larger min_count.",
                    name,
                    f"{len(values):,}",
                )
        if total > MOST_BYTES:
            raise ValueError(
                "The vocabularies must fit into one SavedModel, about "
                f"{MOST_BYTES / 1e9:.1f} GB, to serve raw rows. Prepare the "
                "log with ids='hash' or a larger min_count for its largest "
                f"tables. Received: {total / 1e9:.1f} GB"
            )
        return {
            name: TextIds(values.to_list(), name=f"text_ids.{number}")
            for number, (name, values) in enumerate(texts.items())
        }

    def _new(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """A layer with a name that no column can have."""
        self._count += 1
        name = f"{layer.__name__}.{self._count}"
        return layer(*args, name=name, **kwargs)

    def _once(self, key: Any, make: Any) -> Any:
        if key not in self._texts:
            self._texts[key] = make()
        return self._texts[key]

    def _present(self, column: str, values: Any = None) -> Any:
        """The texts of a column, or those made of it, without missing ones."""
        form = self._schema.format
        layer = self._new(PresentText, column, form.missing, form.strip)
        if values is not None:
            return layer(values)
        return self._once(
            ("present", column), lambda: layer(self._inputs[column])
        )

    def _canonical(self, feature: Categorical) -> Any:
        texts = self._present(feature.column)
        if feature.dtype == "string":
            return texts
        return self._once(
            (feature.dtype, feature.column),
            lambda: self._new(CanonicalText, feature.column, feature.dtype)(
                texts
            ),
        )

    def _category(self, feature: Any) -> Any:
        """The text of a category, string (batch,)."""
        if isinstance(feature, Categorical):
            return self._canonical(feature)
        if isinstance(feature, TimeFeature):
            return self._new(TimePart, feature.name)(self._seconds())
        first, second = (
            self._category(self._schema[name]) for name in feature.columns
        )
        return self._new(JoinedText, SEPARATOR)(first, second)

    def _seconds(self) -> Any:
        rule = self._schema.timestamp
        assert rule is not None

        def make() -> Any:
            times = self._inputs[rule.column]
            if times.dtype == "string":
                times = self._present(rule.column)
            return self._new(Seconds, rule.column, rule.format)(times)

        return self._once("seconds", make)

    def _single(self, feature: Any) -> Any:
        """Ids int32 (batch,)."""
        if isinstance(feature, Dense):
            borders = self._encoding.statistics[feature.name]["borders"]
            limits = feature.minimum, feature.maximum
            layer = self._new(BucketIds, borders, *limits)
            return layer(self._numbers(feature))
        return self._ids(feature, self._category(feature))

    def _ids(self, feature: Any, texts: Any) -> Any:
        if feature.ids == "vocabulary":
            return self._lookups[feature.table](texts)
        size = OPEN_SIZE if feature.buckets is None else feature.buckets
        return self._new(keras.layers.Hashing, size, dtype="int64")(texts)

    def _numbers(self, feature: Dense) -> Any:
        values = self._inputs[feature.column]
        if values.dtype == "string":
            values = self._present(feature.column)
        size = None if feature.size == 1 else feature.size
        integer = feature.dtype == "integer"
        return self._new(Numbers, feature.column, integer, size)(values)

    def _dense(self) -> Any:
        parts = []
        for feature in self._schema.dense:
            mean = feature.missing == "mean"
            found = self._encoding.statistics.get(feature.name, {})
            layer = self._new(
                ClippedNumbers,
                None if mean else float(feature.missing),
                feature.minimum,
                feature.maximum,
                found["missing"] if mean else None,
            )
            numbers = layer(self._numbers(feature))
            parts.append(numbers)
        transform = [x.tolist() for x in self._encoding.transform()]
        return self._new(TransformedNumbers, *transform)(parts)

    def _multi(self, feature: MultiCategorical) -> dict[str, Any]:
        """Ids, and weights if there are any, by their names."""
        column = feature.column
        texts, lengths = self._elements(feature, column)
        if feature.dtype != "string":
            texts = self._new(CanonicalText, column, feature.dtype, False)(
                texts
            )
        layer = self._new(PackedLists, column, feature.max_length, feature.keep)
        if feature.weights is None:
            texts = layer(texts)
            return {
                feature.name: self._new(PaddedIds)(
                    self._ids(feature, texts), texts
                )
            }
        weights = self._weights(feature, lengths)
        texts, weights = layer(texts, weights)
        return {
            feature.name: self._new(PaddedIds)(
                self._ids(feature, texts), texts
            ),
            f"{feature.name}_weights": weights,
        }

    def _elements(self, feature: MultiCategorical, column: str) -> Any:
        """Elements of a column of texts, and their number if it is known."""
        texts = self._present(column)
        if feature.separator is None:
            return texts, None
        texts, lengths = self._new(SplitText, feature.separator)(texts)
        return self._present(column, texts), lengths

    def _weights(self, feature: MultiCategorical, lengths: Any) -> Any:
        column = feature.weights
        assert column is not None
        if self._inputs[column].dtype != "string":
            return self._inputs[column]
        texts, own = self._elements(feature, column)
        weights = self._new(Numbers, column)(texts)
        if lengths is None:
            return weights
        return self._new(SameLengths, column)(weights, own, lengths)
