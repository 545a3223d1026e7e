"""Scores the splits of a log with a model."""

from collections.abc import Iterator
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.metrics.click_metrics import Metrics, MetricsAccumulator
from keras_pss.metrics.group_auc import GroupAUC
from keras_pss.training.backends.forward import forward

EVALUATION_BATCH = 2048  # larger batches exceed the CPU's cache


class Scorer:
    """Predicts with one compiled function for batches of any size.

    Args:
        model: Model to score with. Each call uses its current weights.
        data: Log to score.
    """

    def __init__(self, model: keras.Model, data: ClickLog) -> None:
        self.data = data
        spec = data.in_order("test", EVALUATION_BATCH).element_spec
        self._forward = forward(model, spec[0], EVALUATION_BATCH)

    def __call__(self, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields labels and probabilities of a split's batches, `(rows,)`."""
        batches = self.data.in_order(split, EVALUATION_BATCH)
        for features, labels in batches:
            probabilities = self._forward(features).ravel()
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


def scored(
    model: keras.Model, batches: tf.data.Dataset, batch_size: int
) -> Metrics | None:
    """Metrics of labeled batches, which may have groups as third elements.

    None without any batch. Batches have `batch_size` rows, or fewer.

    Memory: with groups, 9 bytes a row more than `MetricsAccumulator`, and
    then that of `GroupAUC.of`.

    Raises:
        ValueError: If no row or every row has a click.
    """
    score = forward(model, batches.element_spec[0], batch_size)
    found, rows = MetricsAccumulator(), 0
    grouped: list[tuple[np.ndarray, ...]] = []
    for features, labels, *groups in batches:
        each = labels.numpy(), score(features).ravel()
        found.update(*each)
        rows += len(labels)
        if groups:
            grouped.append((each[0] == 1, each[1], groups[0].numpy()))
    if not rows:
        return None
    whole = found.result()
    if not grouped:
        return whole
    columns = map(np.concatenate, zip(*grouped, strict=True))
    return replace(whole, by_group=GroupAUC.of(*columns))
