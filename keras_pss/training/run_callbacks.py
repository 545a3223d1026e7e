"""Callbacks of a run: validation, saved state, NaN checks, step times.

They share a file, though a long one, since most of them read one another.
"""

import logging
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_pss.distribution.steps_ahead import MOST
from keras_pss.metrics.click_metrics import Metrics
from keras_pss.training import checkpoint

logger = logging.getLogger(__name__)

# A calibration further from 1 causes a warning: bids are based on it.
LARGEST_BIAS = 0.1


class StopOnNaN(keras.callbacks.Callback):
    """Stops training when the loss is not finite, and records the step.

    Args:
        steps: Number of steps in a round.

    Attributes:
        step: Number of steps before the one whose loss is NaN, or after which
            the model predicts NaN; None without NaN.
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
        # Keras logs the mean of the round: its first NaN comes from this batch.
        if not np.isfinite((logs or {}).get("loss", 0.0)):
            self.step = self._epoch * self.steps + batch
            self.model.stop_training = True


class BestModel(keras.callbacks.Callback):
    """Scores validation rows after each round and keeps the best checkpoint.

    Click models overfit after an epoch or two, so the best checkpoint is
    chosen on rows that are used neither for training nor for testing. The
    exact AUC is logged as `val_auc`, the log loss as `val_logloss`. If training
    diverges, the best checkpoint so far is kept.

    Args:
        score: Returns the metrics of the validation rows.
        path: File of the best checkpoint.
        patience: Stop after this many rounds without a better checkpoint.
        guard: Records a loss of NaN. It must precede this callback.
        monitor: Metric that selects the best checkpoint: `"auc"` or
            `"logloss"`.
        writes: Whether this process writes the checkpoint. Default: True.

    Attributes:
        best: Best value of the metric; None before the first evaluation.
        best_round: Round of the best checkpoint, counted from 1; 0 before the
            first evaluation.
        calibration: Predicted divided by observed clicks at the best
            checkpoint; None if the run was resumed from a state without it.
        calibration_bound: Largest deviation of `calibration` from 1 that
            causes no warning: `LARGEST_BIAS`, or three standard errors at this
            number of clicks if that is more.
        diverged: Whether training ended in NaN.
    """

    def __init__(
        self,
        score: Callable[[], Metrics],
        path: Path,
        patience: int,
        guard: StopOnNaN,
        monitor: str = "auc",
        writes: bool = True,
    ) -> None:
        super().__init__()
        self.writes = writes
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
                    "Training diverged before evaluation %d; the checkpoint "
                    "of evaluation %d is kept.",
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
            # A kill after this line still leaves the best checkpoint on disk.
            if self.writes:
                checkpoint.save(self.model, self.path, self.state(), copy=True)
        elif epoch + 1 - self.best_round >= self.patience:
            self.model.stop_training = True

    def _is_better(self, found: float) -> bool:
        if self.best is None:
            return True
        if self.monitor == "logloss":
            return found < self.best
        return found > self.best

    def state(self) -> dict[str, Any]:
        """The attributes that a resumed run needs."""
        return {
            f"best_{self.monitor}": self.best,
            "best_round": self.best_round,
            "calibration": self.calibration,
            "calibration_bound": self.calibration_bound,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restores a `state()`; old states lack the calibration."""
        self.best = state[f"best_{self.monitor}"]
        self.best_round = state["best_round"]
        self.calibration = state.get("calibration")
        self.calibration_bound = state.get("calibration_bound", LARGEST_BIAS)

    def _metrics(self, epoch: int) -> Metrics | None:
        """Metrics of the validation rows; None if training diverged."""
        if self.guard.step is not None:
            return None
        try:
            return self.score()
        except ValueError:  # the model predicts NaN
            # The last step broke the weights, after a loss that was finite.
            self.guard.step = (epoch + 1) * self.guard.steps - 1
            return None


class StopAtEnd(keras.callbacks.Callback):
    """Stops after the last step of the last epoch, even within a round.

    Args:
        total: Number of steps in the run.
        steps: Number of steps in a round.
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
    """Keras' progress bar with the right title: Keras calls a round an epoch.

    Args:
        epochs: Number of epochs in the run.
        steps_per_epoch: Number of steps in an epoch.
        steps: Number of steps in a round.
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
        self.epochs = 1  # with more, Keras prints a title itself
        left = self.of_run * self.steps_per_epoch - epoch * self.steps
        self.target = min(self.steps, left)
        super().on_epoch_begin(epoch, logs)

    def title(self, round: int) -> str:
        """Title of the round with this index, which ends in an evaluation."""
        if self.steps == self.steps_per_epoch:
            return f"Epoch {round + 1} of {self.of_run}"
        total = self.of_run * self.steps_per_epoch
        done = min((round + 1) * self.steps, total) / self.steps_per_epoch
        return (
            f"To epoch {done:.4g} of {self.of_run}: evaluation {round + 1} of "
            f"at most {-(-total // self.steps)}"
        )


class StepTimes(keras.callbacks.Callback):
    """Wall time of training, including the time to read batches.

    Args:
        steps: Number of steps in a round.
        epoch: Number of steps in an epoch.

    Attributes:
        seconds: Seconds of training up to the end of each round, without
            evaluations and without the extra time of two of the process's
            steps: the first, which compiles and may skip batches, and the
            first one with an epoch's last batch, whose other number of rows
            may be compiled once more.
        medians: Median time of a step in each round, in seconds. Each value
            is the mean of as many steps as run in one call; see `StepsAhead`.
    """

    def __init__(self, steps: int, epoch: int) -> None:
        super().__init__()
        self._round_steps = steps
        self._epoch_steps = epoch
        self.seconds: list[float] = []
        self.medians: list[float] = []
        self._steps: list[float] = []
        self._begin = self._round = 0.0
        self._first = self._whole = True

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._steps = []
        self._round = time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._begin = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._steps.append(time.perf_counter() - self._begin)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        taken = time.perf_counter() - self._round
        # Places in the round of the steps that compile.
        last = (-epoch * self._round_steps - 1) % self._epoch_steps
        slow = {0} if self._first else set()
        if self._whole and last < len(self._steps):
            slow.add(last)
            self._whole = False
        self._first = False
        quick = [
            seconds
            for place, seconds in enumerate(self._steps)
            if place and place not in slow
        ]
        median = _median_step(quick or self._steps)
        taken -= sum(max(0.0, self._steps[place] - median) for place in slow)
        before = self.seconds[-1] if self.seconds else 0.0
        self.seconds.append(before + taken)
        self.medians.append(median)


def _median_step(seconds: list[float]) -> float:
    """Median of the means of `MOST` steps, of which one call may run all."""
    begins = range(0, len(seconds) - MOST + 1, MOST)
    means = [np.mean(seconds[begin : begin + MOST]) for begin in begins]
    return float(np.median(means or [np.mean(seconds)]))


class SaveState(keras.callbacks.Callback):
    """Saves the state of the run after each round; the last callback.

    Args:
        path: File of the state.
        best: The run's callback for the best checkpoint.
        times: The run's callback for step times.

    Attributes:
        history: Logs of all rounds, including those before a stop.
        backends: Backends of Keras that have trained the run, in order.
    """

    def __init__(self, path: Path, best: BestModel, times: StepTimes) -> None:
        super().__init__()
        self.path = path
        self.best = best
        self.times = times
        self.history: dict[str, list[float]] = {}
        self.backends = [keras.backend.backend()]

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self.best.diverged:
            return  # Keep the last state without NaN.
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        state = {
            "round": epoch + 1,
            "stopped": bool(self.model.stop_training),
            "history": self.history,
            "seconds": self.times.seconds,
            "medians": self.times.medians,
            "best_round": self.best.best_round,
            "backends": self.backends,
        }
        if self.best.writes:
            checkpoint.save(self.model, self.path, state)

    def restore(self, model: keras.Model) -> dict[str, Any]:
        """Restores the saved state of the model.

        If its file is damaged, the previous one is used, and the round since
        then is repeated.

        Returns:
            The state, with that of the best checkpoint as `best`; or that of a
            run before its first step if none is saved.

        Raises:
            checkpoint.ForeignState: If no saved state can be used.
        """
        if not any(path.is_file() for path in _both(self.path)):
            return {"round": 0, "stopped": False, "best": None}
        bests, errors = _readable(model, self.best.path)
        states, others = _readable(model, self.path)
        for path, state in states.items():
            # After a kill between the two writes, the best checkpoint is one
            # round ahead of the state: it is valid, and that round is repeated.
            least = state.get("best_round", 0)
            usable = [p for p in bests if bests[p]["best_round"] >= least]
            if usable:
                for error in (*errors, *others):
                    logger.warning("The previous state is used: %s", error)
                checkpoint.restore(model, path)
                # The next save keeps the state that was used.
                path.replace(self.path)
                usable[0].replace(self.best.path)
                return {**state, "best": bests[usable[0]]}
        raise (*others, *errors, _missing(self.best.path))[0]

    def adopt(self, state: dict[str, Any]) -> None:
        """Gives the callbacks a state that `restore` returned."""
        if state["best"] is None:
            return
        self.best.restore(state["best"])
        self.history = state["history"]
        # States without it are those of TensorFlow alone.
        before = state.get("backends", ["tensorflow"])
        if not state["stopped"] and before[-1] != self.backends[0]:
            before = [*before, *self.backends]
        self.backends = before
        self.times.seconds = state["seconds"]
        self.times.medians = state["medians"]


def _both(path: Path) -> tuple[Path, Path]:
    return path, checkpoint.second(path)


def _missing(path: Path) -> checkpoint.DamagedState:
    return checkpoint.DamagedState(
        f"{path}, the best checkpoint of the saved state, is missing. Copy it "
        "again, or restart the run in another folder. Received: no such file"
    )


def _readable(
    model: keras.Model, path: Path
) -> tuple[dict[Path, dict[str, Any]], list[checkpoint.DamagedState]]:
    """States at a path and before it, newest first, and errors of damage."""
    found: dict[Path, dict[str, Any]] = {}
    errors = []
    for each in _both(path):
        if not each.is_file():
            continue
        try:
            found[each] = checkpoint.restore(model, each)
        except checkpoint.DamagedState as error:
            errors.append(error)
    return found, errors
