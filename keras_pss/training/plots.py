"""Plots of a run: learning curves, ROC curve, calibration."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from keras_pss.metrics.click_metrics import Metrics

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator


def learning_curves(
    history: dict[str, list[float]],
    epochs: list[float],
    best: int,
    folder: Path,
) -> None:
    """Training loss, validation log loss and validation AUC by epoch."""
    figure, left = plt.subplots(figsize=(6, 4), layout="constrained")
    right = left.twinx()
    (loss,) = left.plot(epochs, history["loss"], "o-", color="tab:blue")
    (val_loss,) = left.plot(
        epochs, history["val_logloss"], "o--", color="tab:blue"
    )
    (auc,) = right.plot(epochs, history["val_auc"], "s-", color="tab:orange")
    line = left.axvline(epochs[best], color="0.7", zorder=0)
    left.set(xlabel="epoch", ylabel="log loss")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_ylabel("validation AUC")
    figure.legend(
        [loss, val_loss, auc, line],
        ["training loss", "validation log loss", "validation AUC", "best"],
        loc="outside upper center",
        ncols=2,
    )
    _save(figure, folder / "learning_curves.png")


def roc(
    labels: np.ndarray,
    probabilities: np.ndarray,
    metrics: Metrics,
    folder: Path,
) -> None:
    """The ROC curve of the test rows."""
    false_rate, true_rate, _ = roc_curve(labels, probabilities)
    figure, axes = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
    axes.plot(false_rate, true_rate, label=f"AUC {metrics.auc:.4f}")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.legend(loc="lower right")
    _save(figure, folder / "roc.png")


def calibration(
    labels: np.ndarray, probabilities: np.ndarray, folder: Path
) -> None:
    """Observed click rate against predicted probability, 20 quantiles."""
    observed, predicted = calibration_curve(
        labels, probabilities, n_bins=20, strategy="quantile"
    )
    figure, axes = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
    axes.plot(predicted, observed, "o-", label="test rows")
    top = max(observed.max(), predicted.max()) * 1.05
    axes.plot([0, top], [0, top], color="0.7", linewidth=1, label="ideal")
    axes.set(xlabel="predicted probability", ylabel="observed click rate")
    axes.legend(loc="upper left")
    _save(figure, folder / "calibration.png")


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
