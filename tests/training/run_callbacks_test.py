"""The callbacks of a run: the best model, patience, warnings, the bar."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_pss.metrics.click_metrics import Metrics
from keras_pss.training import checkpoint
from keras_pss.training.config import RunConfig
from keras_pss.training.fit import Fitted
from keras_pss.training.run_callbacks import BestModel, RoundProgress, StopOnNaN

pytestmark = pytest.mark.tf_only


def test_the_bars_title_is_true(capsys):
    bar = RoundProgress(epochs=2, steps_per_epoch=5, steps=3)
    x = np.zeros((4, 1), "float32")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    rows = ((x, x) for _ in range(12))
    model.fit(
        rows,
        epochs=4,
        steps_per_epoch=3,
        verbose=2,
        callbacks=[bar],
        shuffle=False,
    )
    shown = capsys.readouterr().out
    for title in (
        "To epoch 0.6 of 2: evaluation 1 of at most 4\n",
        "To epoch 1.2 of 2: evaluation 2 of at most 4\n",
        "To epoch 2 of 2: evaluation 4 of at most 4\n1/1",
    ):
        assert title in shown
    assert "Epoch" not in shown
    assert RoundProgress(5, 10, 10).title(1) == "Epoch 2 of 5"


def trained_on(curve, folder, monitor):
    """A callback that has seen (auc, logloss, calibration) a round."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    told = iter(Metrics(a, b, 1.0, c, 10_000, 900) for a, b, c in curve)
    callback = BestModel(
        lambda: next(told), folder / "best.npz", 9, StopOnNaN(1), monitor
    )
    callback.set_model(model)
    for epoch in range(len(curve)):
        callback.on_epoch_end(epoch, {})
    return callback


@pytest.mark.parametrize(
    ("monitor", "best", "calibration"), [("auc", 2, 0.75), ("logloss", 3, 1.05)]
)
def test_the_best_checkpoint_is_the_monitors(
    monitor, best, calibration, tmp_path
):
    curve = [(0.6, 0.6, 1.0), (0.75, 0.5225, 0.75), (0.74, 0.5186, 1.05)]
    callback = trained_on(curve, tmp_path, monitor)
    assert callback.best_round == best
    assert callback.calibration == calibration
    assert callback.calibration_bound == 0.1
    # What a resumed run reads.
    kept = checkpoint.restore(callback.model, tmp_path / "best.npz")
    again = BestModel(None, tmp_path, 9, StopOnNaN(1), monitor)
    again.restore(kept)
    assert again.state() == callback.state()


def test_a_state_of_before_there_was_a_choice_goes_on_by_auc():
    callback = BestModel(None, Path("best.npz"), 9, StopOnNaN(1))
    callback.restore({"best_auc": 0.7, "best_round": 2})
    assert (callback.best, callback.best_round) == (0.7, 2)
    assert callback.calibration is None
    assert "monitor" not in RunConfig().as_dict()
    assert RunConfig(monitor="logloss").as_dict()["monitor"] == "logloss"


def fitted(calibration, bound):
    return Fitted(None, None, {}, [], [], 0, 0, 0, False, calibration, bound)


def test_a_calibration_that_is_off_is_warned_about():
    assert fitted(1.09, 0.1).warnings() == []
    assert fitted(None, 0.1).warnings() == []
    assert fitted(0.8, 0.3).warnings() == []  # of few clicks
    (high,) = fitted(1.25, 0.1).warnings()
    assert "1.250, further from 1 than 0.100: probabilities are too hi" in high
    (low,) = fitted(0.75, 0.1).warnings()
    assert "too low" in low
    assert "--monitor logloss" in low


class Curve:
    """Validation scores as they are told, one a round."""

    def __init__(self, *aucs):
        self.aucs = list(aucs)

    def __call__(self):
        auc = self.aucs.pop(0)
        if auc is None:
            raise ValueError("The model predicts NaN")
        return Metrics(auc, 0.5, 1.0, 1.0, 10, 5)


@pytest.mark.parametrize(
    ("aucs", "patience", "rounds", "best"),
    [
        ((0.6, 0.7, 0.65, 0.69), 2, 4, 2),
        ((0.6, 0.7, 0.65, 0.71, 0.7, 0.7), 2, 6, 4),
        ((0.7, 0.7), 1, 2, 1),
        ((0.6, 0.7, 0.8), 1, 3, 3),
        ((0.6, None), 5, 2, 1),
    ],
)
def test_patience(aucs, patience, rounds, best, tmp_path):
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    callback = BestModel(
        Curve(*aucs), tmp_path / "best.npz", patience, StopOnNaN(1)
    )
    callback.set_model(model)
    model.stop_training = False
    for epoch in range(len(aucs)):
        logs = {}
        callback.on_epoch_end(epoch, logs)
        assert logs["val_auc"] == pytest.approx(
            np.nan if aucs[epoch] is None else aucs[epoch], nan_ok=True
        )
        if model.stop_training:
            break
    assert epoch + 1 == rounds
    assert callback.best_round == best
    assert callback.diverged == (None in aucs)
    kept = checkpoint.restore(model, tmp_path / "best.npz")
    assert kept["best_auc"] == aucs[best - 1]
    assert kept["best_round"] == best
