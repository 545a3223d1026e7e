"""The metrics of click prediction, exact, from labels and probabilities.

What is accumulated and what comes of it are one definition, hence in one file.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
# Distinct scores, ascending, and their rows without and with a click: (n,),
# int64 (2, n).
_Run = tuple[FloatArray, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Metrics:
    """How well probabilities predict clicks.

    Attributes:
        auc: Area under the ROC curve, exact, ties counted half.
        logloss: Mean binary cross-entropy in nats.
        normalized_entropy: Log loss over that of the constant click rate:
            1 is no better than the rate, 0 is perfect.
        calibration: Predicted over observed clicks; 1 is calibrated.
        rows: Rows that were scored.
        clicks: Clicks among them.

    References: He et al., "Practical lessons from predicting clicks on ads
    at Facebook" (2014), section 3 (normalised entropy, calibration).
    """

    auc: float
    logloss: float
    normalized_entropy: float
    calibration: float
    rows: int
    clicks: int

    @classmethod
    def of(cls, labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Self:
        """Scores probabilities against labels, one for each row.

        Raises:
            ValueError: If the labels hold one class only, or a probability
                is not a number; see `MetricsAccumulator.update`.
        """
        accumulator = MetricsAccumulator()
        accumulator.update(labels, probabilities)
        return cls(**accumulator.result().as_dict())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class MetricsAccumulator:
    """`Metrics` of rows that come in chunks and are not kept.

        AUC = Σ_s p_s (N_s + n_s / 2) / (P N)

    over the distinct scores s, with p_s clicks and n_s other rows of that
    score, N_s other rows below it, and P and N of either in all, is computed
    in integers. The other sums run over the distinct scores as well, in their
    order: the result is the same to the bit however the rows are cut.

    Memory: 24 bytes a distinct score, twice that between merges and 100 bytes
    within the last one: 9 GB where 89M rows had a score of their own each.

    Example:

    ```python
    from keras_pss.metrics.click_metrics import MetricsAccumulator

    accumulator = MetricsAccumulator()
    accumulator.update([0, 1], [0.2, 0.7])
    accumulator.update([0, 1], [0.4, 0.4])
    accumulator.result().auc  # 0.875
    ```

    References: Mann & Whitney, "On a test of whether one of two random
    variables is stochastically larger than the other" (1947).
    """

    def __init__(self) -> None:
        # Each at least twice as long as the next, so that a row is merged
        # log(rows) times, whatever the chunks.
        self._runs: list[_Run] = []

    def update(
        self, labels: npt.ArrayLike, probabilities: npt.ArrayLike
    ) -> None:
        """Adds rows, of which none is added if one of them is wrong.

        Args:
            labels: 1 for a click, 0 for none; `(rows,)`, or any shape.
            probabilities: As many, in [0, 1]. They are compared as float64,
                which keeps the order and the ties of narrower floats.

        Raises:
            ValueError: For labels that are not 0 or 1, for probabilities that
                are not numbers in [0, 1], and for unequal numbers of both.
        """
        clicked = checked_labels(labels)
        scores = np.asarray(probabilities, np.float64).ravel()
        if len(scores) != len(clicked):
            raise ValueError(
                "`labels` and `probabilities` must have an entry a row each. "
                f"Received: {len(clicked)} labels, {len(scores)} probabilities"
            )
        if not np.isfinite(scores).all():
            raise ValueError(
                "The model predicts NaN: its training diverged. Train with a "
                "smaller learning rate. "
                f"Received: {int((~np.isfinite(scores)).sum())} of "
                f"{len(scores)} probabilities that are not finite"
            )
        if not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError(
                "`probabilities` must be in [0, 1]. Give the model a sigmoid, "
                "or apply one to its logits. Received: probabilities from "
                f"{scores.min()} to {scores.max()}"
            )
        if not len(scores):
            return
        run = _distinct(scores, np.stack([~clicked, clicked]).astype(np.int64))
        while self._runs and len(self._runs[-1][0]) < 2 * len(run[0]):
            run = _merged([self._runs.pop(), run])
        self._runs.append(run)

    def result(self) -> Metrics:
        """The metrics of all rows so far; more may follow.

        Raises:
            ValueError: If there are no rows with, or none without, a click.
        """
        if len(self._runs) > 1:
            self._runs = [_merged(self._runs)]
        empty = np.zeros(0), np.zeros((2, 0), np.int64)
        scores, counts = self._runs[0] if self._runs else empty
        others, clicks = (int(count) for count in counts.sum(axis=1))
        rows = others + clicks
        if not 0 < clicks < rows:
            raise ValueError(
                "Metrics need rows with and without a click. "
                f"Received: {clicks} clicks in {rows} rows"
            )
        below = np.cumsum(counts[0])
        # Twice the rows without a click that each click beats.
        beaten = 2 * below - counts[0]
        wins = _exact_dot(counts[1], beaten)
        loss = _log_loss(scores, counts) / rows
        rate = clicks / rows
        entropy = -rate * np.log(rate) - (1 - rate) * np.log1p(-rate)
        return Metrics(
            auc=wins / (2 * clicks * others),
            logloss=loss,
            normalized_entropy=float(loss / entropy),
            calibration=float((scores * counts.sum(axis=0)).sum() / clicks),
            rows=rows,
            clicks=clicks,
        )


def checked_labels(labels: npt.ArrayLike) -> BoolArray:
    """Which rows were clicked, `(rows,)`; an error for other than 0 and 1."""
    y = np.asarray(labels).ravel()
    clicked = y == 1
    wrong = ~(clicked | (y == 0))
    if wrong.any():
        raise ValueError(
            "`labels` must be 1 for a click and 0 for none. Received: "
            f"{int(wrong.sum())} of {len(y)} other labels, the first "
            f"{y[wrong][0]}"
        )
    return clicked


def _distinct(scores: FloatArray, counts: npt.NDArray[np.int64]) -> _Run:
    """Sorts scores and adds up the counts of equal ones."""
    # Stable sorting finds the runs that are sorted already.
    order = np.argsort(scores, kind="stable")
    scores = scores[order]
    first = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    return scores[first], np.add.reduceat(counts[:, order], first, axis=1)


def _merged(runs: list[_Run]) -> _Run:
    return _distinct(
        np.concatenate([scores for scores, _ in runs]),
        np.concatenate([counts for _, counts in runs], axis=1),
    )


def _exact_dot(
    first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> int:
    """Σ first second of non-negative integers, beyond 64 bits.

    The second in digits of 21 bits: a sum is below 2^63 where those of
    `first` sum to less than 2^42.
    """
    digit = 2**21 - 1
    return sum(
        int((first * ((second >> shift) & digit)).sum()) << shift
        for shift in (0, 21, 42)
    )


def _log_loss(scores: FloatArray, counts: npt.NDArray[np.int64]) -> float:
    """Sum of the cross-entropies, with scikit-learn's clipping."""
    eps = np.finfo(np.float64).eps
    of_others = np.log(np.clip(1 - scores, eps, 1 - eps))
    of_clicks = np.log(np.clip(scores, eps, 1 - eps))
    return -float((counts[0] * of_others + counts[1] * of_clicks).sum())
