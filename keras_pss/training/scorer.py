"""Scores the splits of a log with a model."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.metrics.click_metrics import Metrics, MetricsAccumulator

EVALUATION_BATCH = 2048  # larger batches exceed the CPU's cache


class Scorer:
    """Predicts with one graph for batches of any size.

    Args:
        model: Model to score with. Each call uses its current weights.
        data: Log to score.
    """

    def __init__(self, model: keras.Model, data: ClickLog) -> None:
        self.data = data
        self._forward = forward(model, data.in_order("test", EVALUATION_BATCH))

    def __call__(self, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields labels and probabilities of a split's batches, `(rows,)`."""
        batches = self.data.in_order(split, EVALUATION_BATCH)
        for features, labels in batches:
            probabilities = self._forward(features).numpy().ravel()
            yield labels.numpy(), probabilities

    def metrics(self, split: str) -> Metrics:
        """Metrics of a split, computed batch by batch."""
        found = MetricsAccumulator()
        for labels, probabilities in self(split):
            found.update(labels, probabilities)
        return found.result()

    def whole(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels and probabilities of a whole split, `(rows,)` each."""
        labels, probabilities = zip(*self(split), strict=True)
        return np.concatenate(labels), np.concatenate(probabilities)


def forward(model: keras.Model, batches: tf.data.Dataset) -> Any:
    """The model as a graph that is traced once, for features like these."""

    @tf.function(input_signature=[batches.element_spec[0]])
    def call(features: Any) -> Any:
        return model(features, training=False)

    return call
