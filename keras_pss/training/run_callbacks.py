"""Callbacks of a run: validation, the state on disk, NaN, times of steps."""

import logging
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_pss.metrics.click_metrics import Metrics
from keras_pss.training import checkpoint

logger = logging.getLogger(__name__)

# A calibration further from 1 than this is worth a word: bids follow it.
LARGEST_BIAS = 0.1


class StopOnNaN(keras.callbacks.Callback):
    """Stops where the loss is no number any more, and names the step.

    Args:
        steps: Of a round.

    Attributes:
        step: Steps that were done before the one whose loss is NaN, or after
            which the model predicts NaN; None if all is well.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.step: int | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        # The mean of a round so far: its first NaN is this batch's.
        if not np.isfinite((logs or {}).get("loss", 0.0)):
            self.step = self._epoch * self.steps + batch
            self.model.stop_training = True


class BestModel(keras.callbacks.Callback):
    """Scores validation rows after each round and keeps the best weights.

    Click models overfit after an epoch or two, so the best checkpoint is
    chosen here, on rows that are neither trained on nor tested. The exact AUC
    joins the logs as `val_auc`, the log loss as `val_logloss`. Where training
    diverges, the best round so far stands.

    Args:
        score: Gives the metrics of the validation rows.
        path: Where the best state is kept.
        patience: Rounds without a better checkpoint before training stops.
        guard: Knows whether the loss broke; it stands before this one.
        monitor: The metric that is to be best: `"auc"` or `"logloss"`.

    Attributes:
        best: Its best value so far; None before the first evaluation.
        best_round: The round of the best, from 1 on; 0 before.
        calibration: Predicted over observed clicks at the best round; None
            where a state that was saved without it goes on.
        calibration_bound: How far from 1 that may be: `LARGEST_BIAS`, or
            three standard errors of so few clicks.
        diverged: Whether training ended in NaN.
    """

    def __init__(
        self,
        score: Callable[[], Metrics],
        path: Path,
        patience: int,
        guard: StopOnNaN,
        monitor: str = "auc",
    ) -> None:
        super().__init__()
        self.score = score
        self.path = path
        self.patience = patience
        self.guard = guard
        self.monitor = monitor
        self.best: float | None = None
        self.best_round = 0
        self.calibration: float | None = None
        self.calibration_bound = LARGEST_BIAS
        self.diverged = False

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        logs = {} if logs is None else logs
        metrics = self._metrics(epoch)
        if metrics is None:
            if self.best_round:
                logger.warning(
                    "Training diverged before evaluation %d; evaluation %d "
                    "stands.",
                    epoch + 1,
                    self.best_round,
                )
            self.diverged = True
            self.model.stop_training = True
            logs["val_auc"] = logs["val_logloss"] = float("nan")
            return
        logs["val_auc"] = metrics.auc
        logs["val_logloss"] = metrics.logloss
        found = getattr(metrics, self.monitor)
        if self._is_better(found):
            self.best, self.best_round = found, epoch + 1
            self.calibration = metrics.calibration
            self.calibration_bound = max(
                LARGEST_BIAS, 3 / math.sqrt(metrics.clicks)
            )
            # Whoever kills the run finds the last good state whole.
            checkpoint.save(self.model, self.path, self.state())
        elif epoch + 1 - self.best_round >= self.patience:
            self.model.stop_training = True

    def _is_better(self, found: float) -> bool:
        if self.best is None:
            return True
        if self.monitor == "logloss":
            return found < self.best
        return found > self.best

    def state(self) -> dict[str, Any]:
        """What a resumed run must know of the best round."""
        return {
            f"best_{self.monitor}": self.best,
            "best_round": self.best_round,
            "calibration": self.calibration,
            "calibration_bound": self.calibration_bound,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from `state()`, or from one of before it had all of it."""
        self.best = state[f"best_{self.monitor}"]
        self.best_round = state["best_round"]
        self.calibration = state.get("calibration")
        self.calibration_bound = state.get("calibration_bound", LARGEST_BIAS)

    def _metrics(self, epoch: int) -> Metrics | None:
        """Of the validation rows; None where training diverged."""
        if self.guard.step is not None:
            return None
        try:
            return self.score()
        except ValueError:  # the model predicts NaN
            # The loss of the step that broke it was still a number: the last.
            self.guard.step = (epoch + 1) * self.guard.steps - 1
            return None


class StopAtEnd(keras.callbacks.Callback):
    """Stops after the last step of the last epoch, where no round ends.

    Args:
        total: Steps of the run.
        steps: Of a round.
    """

    def __init__(self, total: int, steps: int) -> None:
        super().__init__()
        self.total = total
        self.steps = steps
        self._before = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._before = epoch * self.steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._before + batch + 1 >= self.total:
            self.model.stop_training = True


class RoundProgress(keras.callbacks.ProgbarLogger):
    """Keras' progress bar under a true title: Keras calls a round an epoch.

    Args:
        epochs: Of the run.
        steps_per_epoch: Of training.
        steps: Of a round.
    """

    def __init__(self, epochs: int, steps_per_epoch: int, steps: int) -> None:
        super().__init__()
        self.of_run = epochs
        self.steps_per_epoch = steps_per_epoch
        self.steps = steps

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self.verbose:
            sys.stdout.write(f"{self.title(epoch)}\n")
        self.epochs = 1  # of several, Keras has a title of its own
        left = self.of_run * self.steps_per_epoch - epoch * self.steps
        self.target = min(self.steps, left)
        super().on_epoch_begin(epoch, logs)

    def title(self, round: int) -> str:
        """Of the round with this index, which ends in an evaluation."""
        if self.steps == self.steps_per_epoch:
            return f"Epoch {round + 1} of {self.of_run}"
        total = self.of_run * self.steps_per_epoch
        done = min((round + 1) * self.steps, total) / self.steps_per_epoch
        return (
            f"To epoch {done:.4g} of {self.of_run}: evaluation {round + 1} of "
            f"at most {-(-total // self.steps)}"
        )


class StepTimes(keras.callbacks.Callback):
    """Wall time of training, reading batches included.

    Attributes:
        seconds: Of training up to the end of each round, without evaluations
            and without what a process's first step takes more than others:
            it traces the graph and may skip batches.
        medians: Seconds of a step, the median of each round.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.medians: list[float] = []
        self._steps: list[float] = []
        self._begin = self._round = 0.0
        self._first = True

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._steps = []
        self._round = time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._begin = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._steps.append(time.perf_counter() - self._begin)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        taken = time.perf_counter() - self._round
        median = float(np.median(self._steps[1:] or self._steps))
        if self._first:
            taken -= max(0.0, self._steps[0] - median)
        self._first = False
        before = self.seconds[-1] if self.seconds else 0.0
        self.seconds.append(before + taken)
        self.medians.append(median)


class SaveState(keras.callbacks.Callback):
    """Saves all that a run needs to go on, after each round; last of all.

    Args:
        path: Of the file.
        best: Of the run.
        times: Of the run.

    Attributes:
        history: Logs of all rounds, those before a stop included.
    """

    def __init__(self, path: Path, best: BestModel, times: StepTimes) -> None:
        super().__init__()
        self.path = path
        self.best = best
        self.times = times
        self.history: dict[str, list[float]] = {}

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self.best.diverged:
            return  # The last sound state stays.
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        state = {
            "round": epoch + 1,
            "stopped": bool(self.model.stop_training),
            "history": self.history,
            "seconds": self.times.seconds,
            "medians": self.times.medians,
        }
        checkpoint.save(self.model, self.path, state)

    def restore(self, model: keras.Model) -> dict[str, Any]:
        """Gives model and callbacks the saved state back.

        Returns:
            It, or that of a run which has not begun.
        """
        if not self.path.is_file():
            return {"round": 0, "stopped": False}
        # Where the kill came between the two files, the best weights are of
        # a later round than the state: they count, and the round is repeated.
        self.best.restore(checkpoint.restore(model, self.best.path))
        state = checkpoint.restore(model, self.path)
        self.history = state["history"]
        self.times.seconds = state["seconds"]
        self.times.medians = state["medians"]
        return state
