"""Callbacks of a run: validation by exact AUC, and the time of a step."""

import logging
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_pss.training.metrics import Metrics

logger = logging.getLogger(__name__)


class BestEpoch(keras.callbacks.Callback):
    """Scores validation rows after each epoch and keeps the best model.

    Click models overfit after an epoch or two, so the epoch is a
    hyperparameter; it is chosen here, on rows that are neither trained on nor
    tested. The exact AUC joins the logs as `val_auc`, the log loss as
    `val_logloss`. Where training diverges, the best epoch so far stands.

    Args:
        data: A dataset of `(features, label)`, in a fixed order.
        labels: Its labels, `(rows,)`.
        path: Where the best model is kept, `.keras`.
        patience: Epochs without a better AUC before training stops.
    """

    def __init__(
        self, data: Any, labels: np.ndarray, path: Path, patience: int
    ) -> None:
        super().__init__()
        self.data = data
        self.labels = labels
        self.path = path
        self.patience = patience
        self.best_auc = -np.inf
        self.best_epoch = 0
        self.epochs = 0
        self.diverged = False

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self.epochs = epoch + 1
        predicted = self.model.predict(self.data, verbose=0)
        if self.best_epoch and not np.isfinite(predicted).all():
            logger.warning(
                "Training diverged in epoch %d; epoch %d is kept.",
                self.epochs,
                self.best_epoch,
            )
            self.diverged = True
            self.model.stop_training = True
            if logs is not None:
                logs["val_auc"] = logs["val_logloss"] = float("nan")
            return
        metrics = Metrics.of(self.labels, predicted)
        if logs is not None:
            logs["val_auc"] = metrics.auc
            logs["val_logloss"] = metrics.logloss
        if metrics.auc > self.best_auc:
            self.best_auc, self.best_epoch = metrics.auc, self.epochs
            # Whoever kills the run finds the last good model whole.
            part = self.path.with_name(f"part-{self.path.name}")
            self.model.save(part)
            part.replace(self.path)
        elif self.epochs - self.best_epoch >= self.patience:
            self.model.stop_training = True


class StepTimes(keras.callbacks.Callback):
    """Wall time of each training step, reading its batch included."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._begin = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._begin = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self._begin)

    def steady(self) -> np.ndarray:
        """Seconds of the steps after the first, which traces the graph."""
        times = self.seconds[1:] or self.seconds
        return np.array(times)
