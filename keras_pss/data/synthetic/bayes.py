"""Scores of the true probabilities."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_BINS = 1 << 16
_LIMIT = 16.0  # logits beyond it are in the first or last bin


class BayesScore:
    """Accumulates AUC, log loss and click rate of the true probabilities.

    The Bayes AUC is the expected AUC, over the labels, of rows scored with
    their true probability p: each row counts as p of a positive and 1 - p of a
    negative. Rows are collected in 65,536 bins of their logit (0.0005 wide),
    and ties within a bin count half, so memory does not grow with the rows.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.clicks = 0
        self._expected_loss = 0.0
        self._loss = 0.0
        # Expected negatives and positives, then those of the drawn labels.
        self._bins = np.zeros((4, _BINS))

    def add(self, logits: Floats, labels: npt.NDArray[np.int32]) -> None:
        """Adds rows.

        Args:
            logits: True log odds (n,).
            labels: The labels drawn with them, 0 or 1 (n,).
        """
        p = sigmoid(logits)
        # log(1 + exp(x)) is -log(1 - p), and subtracting x gives -log p.
        negative = np.logaddexp(0.0, logits)
        self._expected_loss += float((negative - p * logits).sum())
        self._loss += float((negative - labels * logits).sum())
        self.rows += len(labels)
        self.clicks += int(labels.sum())
        place = (logits + _LIMIT) * (_BINS / (2 * _LIMIT))
        index = np.clip(place, 0, _BINS - 1).astype(np.int64)
        for bins, weights in zip(
            self._bins, (1 - p, p, 1.0 - labels, 1.0 * labels), strict=True
        ):
            bins += np.bincount(index, weights, minlength=_BINS)

    @property
    def click_rate(self) -> float:
        """Fraction of the labels that are 1."""
        return self.clicks / self.rows

    @property
    def auc(self) -> float:
        """Expected AUC of the true probabilities."""
        return _auc(self._bins[0], self._bins[1])

    @property
    def log_loss(self) -> float:
        """Expected log loss of the true probabilities, in nats per row."""
        return self._expected_loss / self.rows

    @property
    def realised_auc(self) -> float:
        """AUC of the true probabilities on the labels drawn."""
        return _auc(self._bins[2], self._bins[3])

    @property
    def realised_log_loss(self) -> float:
        """Log loss of the true probabilities on the labels drawn."""
        return self._loss / self.rows


def expected_auc(logits: Floats) -> float:
    """Expected AUC of rows that are scored with their true log odds (n,)."""
    p = sigmoid(np.sort(logits))
    return _auc(1 - p, p)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + np.exp(-logits))


def _auc(negatives: Floats, positives: Floats) -> float:
    """AUC of weights in ascending order of score; ties count half."""
    below = np.cumsum(negatives) - negatives / 2
    pairs = negatives.sum() * positives.sum()
    return float((positives * below).sum() / pairs) if pairs else 0.5
