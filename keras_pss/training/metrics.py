"""The metrics of click prediction, exact, from labels and probabilities."""

from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.metrics import log_loss, roc_auc_score

FloatArray = npt.NDArray[np.float64]


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
        """Scores probabilities against labels, both of shape `(rows,)`.

        Raises:
            ValueError: If the labels hold one class only, or a probability
                is not a number.
        """
        y = np.asarray(labels).ravel()
        p = np.asarray(probabilities, np.float64).ravel()
        clicks = int(y.sum())
        if not 0 < clicks < len(y):
            raise ValueError(
                "Metrics need rows with and without a click. "
                f"Received: {clicks} clicks in {len(y)} rows"
            )
        if not np.isfinite(p).all():
            raise ValueError(
                "The model predicts NaN: its training diverged. Train with a "
                "smaller learning rate. "
                f"Received: {int((~np.isfinite(p)).sum())} of {len(p)} "
                "probabilities that are not finite"
            )
        loss = float(log_loss(y, p))
        rate = clicks / len(y)
        entropy = -rate * np.log(rate) - (1 - rate) * np.log1p(-rate)
        return cls(
            auc=float(roc_auc_score(y, p)),
            logloss=loss,
            normalized_entropy=float(loss / entropy),
            calibration=float(p.sum() / clicks),
            rows=len(y),
            clicks=clicks,
        )

    def as_dict(self) -> dict[str, float | int]:
        return asdict(self)
