"""Training to the best checkpoint, from the start or from where it stopped."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_pss.callbacks import LayerUpdates
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.layers.composite.frequency_filter import FrequencyFilter
from keras_pss.training import checkpoint
from keras_pss.training.build_model import build_model
from keras_pss.training.config import RunConfig
from keras_pss.training.run_callbacks import (
    BestModel,
    RoundProgress,
    SaveState,
    StepTimes,
    StopAtEnd,
    StopOnNaN,
)
from keras_pss.training.scorer import Scorer

logger = logging.getLogger(__name__)

LATEST, BEST = "state.npz", "best.npz"
NAN_BATCH = "nan_batch.npz"


@dataclass(frozen=True)
class Fitted:
    """A model at its best checkpoint, and the way there.

    Attributes:
        model: With the weights of the best evaluation.
        scorer: Of this model and the rows.
        history: Logs of each evaluation: `loss`, `val_auc`, `val_logloss`.
        epochs: Epochs trained up to each evaluation.
        seconds: Of training up to each evaluation, validation left out.
        best: Index of the best evaluation.
        step_seconds: Of a step, the median.
        steps_per_epoch: Of training.
        diverged: Whether training ended in NaN after the best evaluation.
        calibration: Predicted over observed clicks of the validation rows, at
            the best evaluation.
        calibration_bound: How far from 1 it may be by chance, or by little.
    """

    model: keras.Model
    scorer: "Scorer"
    history: dict[str, list[float]]
    epochs: list[float]
    seconds: list[float]
    best: int
    step_seconds: float
    steps_per_epoch: int
    diverged: bool
    calibration: float | None
    calibration_bound: float

    def warnings(self) -> list[str]:
        """What the user of the model must know."""
        found, bound = self.calibration, self.calibration_bound
        if found is None or abs(found - 1) <= bound:
            return []
        return [
            f"The calibration on validation rows is {found:.3f}, further from "
            f"1 than {bound:.3f}: probabilities are too "
            f"{'high' if found > 1 else 'low'}. Choose the best checkpoint by "
            "log loss, which sees that and AUC does not "
            "(`monitor='logloss'`, --monitor logloss)."
        ]


def model_for(data: ClickLog, config: RunConfig) -> keras.Model:
    """The compiled model of a run on these rows, at its first step.

    Raises:
        ValueError: For settings that do not fit the rows or each other.
    """
    rounds = config.rounds(data.rows("train"))
    return build_model(
        config,
        data.cardinalities,
        data.num_dense,
        limits(config, data),
        config.epochs * rounds.epoch,
    )


def fit(
    model: keras.Model,
    data: ClickLog,
    config: RunConfig,
    folder: Path,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> Fitted:
    """Trains a model until its validation metric gets no better.

    The state is kept in `folder` after each evaluation; where it holds one,
    training goes on from there, batch for batch and bit for bit (on a CPU) as
    if it had not been stopped.

    Args:
        model: What `model_for` returned.
        data: ClickLog to train and to choose the best checkpoint on.
        config: Hyperparameters, those of the state in `folder` if any.
        folder: Where the state is kept.
        callbacks: More of them, called before the state is saved.
        verbose: Of `model.fit`.

    Raises:
        ValueError: If the loss is NaN before the first evaluation; the batch
            that broke it is in `folder`.
    """
    rounds = config.rounds(data.rows("train"))
    steps = rounds.steps
    total = config.epochs * rounds.epoch
    model.optimizer.build(model.trainable_variables)
    guard, times, scorer = StopOnNaN(steps), StepTimes(), Scorer(model, data)
    best = BestModel(
        lambda: scorer.metrics("validation"),
        folder / BEST,
        config.patience * rounds.of_epoch,
        guard,
        config.monitor,
    )
    save = SaveState(folder / LATEST, best, times)
    state = save.restore(model)
    if not state["stopped"] and state["round"] < rounds.count:
        model.fit(
            data.stream(config.batch_size, config.seed, state["round"] * steps),
            epochs=rounds.count,
            initial_epoch=state["round"],
            steps_per_epoch=steps,
            shuffle=False,  # the stream does
            callbacks=[
                times,
                guard,
                best,
                *callbacks,
                LayerUpdates(rounds.epoch, steps),
                StopAtEnd(total, steps),
                save,
                RoundProgress(config.epochs, rounds.epoch, steps),
            ],
            verbose=verbose,
        )
    if guard.step is not None:
        _keep_batch(data, config, guard.step, folder / NAN_BATCH)
        if not best.best_round:
            raise ValueError(
                f"The loss was NaN after {guard.step} steps, before the first "
                "evaluation. Train with a smaller learning rate or with "
                "`clip_norm`, or look for broken values in the batch, which "
                f"is in {folder / NAN_BATCH}."
            )
        logger.warning(
            "The loss was NaN after %d steps; the batch is in %s.",
            guard.step,
            folder / NAN_BATCH,
        )
    checkpoint.restore(model, folder / BEST)
    done = len(save.history["val_auc"])
    fitted = Fitted(
        model=model,
        scorer=scorer,
        history=save.history,
        epochs=[
            min((index + 1) * steps, total) / rounds.epoch
            for index in range(done)
        ],
        seconds=times.seconds[:done],
        best=best.best_round - 1,
        step_seconds=float(np.median(times.medians)),
        steps_per_epoch=rounds.epoch,
        diverged=best.diverged,
        calibration=best.calibration,
        calibration_bound=best.calibration_bound,
    )
    for warning in fitted.warnings():
        logger.warning(warning)
    return fitted


def limits(config: RunConfig, data: ClickLog) -> tuple[int, ...] | None:
    """Ids of each column that the frequency filter keeps; None without."""
    if config.min_count == 1:
        return None
    columns = range(len(data.cardinalities))
    counts = [data.counts(column) for column in columns]
    return FrequencyFilter.limits(counts, config.min_count)


def _keep_batch(
    data: ClickLog, config: RunConfig, step: int, path: Path
) -> None:
    """Writes the batch that followed after so many steps."""
    stream = data.stream(config.batch_size, config.seed, step)
    features, labels = next(iter(stream))
    arrays = {name: value.numpy() for name, value in features.items()}
    np.savez(path, step=step, label=labels.numpy(), **arrays)
