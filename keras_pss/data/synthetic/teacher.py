"""The planted click probability of synthetic logs.

    logit = b + s (w_ids sum_c a_c(id_c)                   effects of ids
                   + w_pairs sum_{c<e} <v_c(id_c), v_e(id_e)>     pairs of ids
                   + w_integers sum_j f_j(log(1 + x_j)))   smooth functions

Effects and latent vectors are normal deviates computed from a hash of (column,
id), so they need no table for any number of ids. Each part is standardized,
and (s, b) are set so that the click rate and the AUC of the true probabilities
match their targets.
"""

from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from keras_pss.data.criteo.columns import NUM_CATEGORIES, NUM_INTEGERS
from keras_pss.data.readers.block import Int32Array
from keras_pss.data.synthetic.bayes import Floats, expected_auc, sigmoid
from keras_pss.ops.hash_families import pss1

Bools = npt.NDArray[np.bool_]

LATENTS = 4
# Columns whose pairs interact: their cardinalities of some hundred to 100,000
# put most of the signal in ids that are frequent enough to be learned.
INTERACTING = (0, 1, 4, 6, 7, 9, 14, 18)
# Fractions of the logit's variance due to ids, pairs and integers.
SHARES = (0.5, 0.35, 0.15)
# Effects decrease as 1 / sqrt(1 + rank / FADE): effects of ids that occur a few
# times cannot be learned and would only lower the AUC that a model can reach.
FADE = 2_000

_LEVELS = 4096


@lru_cache
def _normal() -> npt.NDArray[np.float32]:
    """Normal quantiles at `_LEVELS` evenly spaced probabilities."""
    normal = NormalDist()
    steps = [(i + 0.5) / _LEVELS for i in range(_LEVELS)]
    return np.array([normal.inv_cdf(step) for step in steps], np.float32)


def deviates(
    ranks: npt.NDArray[np.uint32], seed: int, column: int, count: int
) -> npt.NDArray[np.float32]:
    """Deterministic normal deviates of ids, float32 (n, count)."""
    words = pss1.words(ranks, seed, column, range(count))
    return _normal()[words >> np.uint32(20)]


def id_scores(
    ranks: npt.NDArray[np.uint32],
    missing: Bools,
    cardinalities: tuple[int, ...],
    seed: int,
) -> tuple[Floats, Floats]:
    """Effects of ids and of their pairs before standardization, both (n,).

    Args:
        ranks: Ids by descending frequency, uint32 (26, n).
        missing: Mask of the missing values, whose effects are 0, (26, n).
        cardinalities: Number of ids of each column.
        seed: Seed of the effects and latent vectors.
    """
    rows = ranks.shape[1]
    effects = np.zeros(rows)
    total = np.zeros((rows, LATENTS), np.float32)
    squares = np.zeros(rows, np.float32)
    for column in range(NUM_CATEGORIES):
        latents = LATENTS * (column in INTERACTING)
        drawn = deviates(ranks[column], seed, column, 1 + latents)
        fade = 1 / np.sqrt(1 + ranks[column] / np.float32(FADE))
        drawn *= np.where(missing[column], 0, fade)[:, None]
        # Columns of few ids get a small weight: 1/6 for three ids.
        weight = min(1.0, np.log10(cardinalities[column]) / 3)
        effects += weight * drawn[:, 0]
        total += drawn[:, 1:] if latents else 0
        squares += np.square(drawn[:, 1:]).sum(1)
    pairs = (np.square(total).sum(1) - squares) / 2
    return effects, pairs.astype(np.float64)


def integer_scores(integers: Int32Array, missing: Bools, seed: int) -> Floats:
    """Effects of integers (n, 13) before standardization, (n,)."""
    logs = np.log1p(np.maximum(integers, 0))
    slopes = deviates(np.arange(NUM_INTEGERS, dtype=np.uint32), seed, 26, 2)
    score = np.zeros(len(integers))
    for j in range(NUM_INTEGERS):
        x = logs[:, j]
        # Linear, bell-shaped and periodic in turn; all are smooth.
        shape = (x, np.exp(-np.square(x - 2) / 2), np.sin(x))[j % 3]
        score += np.where(missing[:, j], 0, slopes[j, 0] * shape)
    return score


def calibrate(
    score: Floats, click_rate: float, auc: float
) -> tuple[float, float]:
    """Scale and bias that reach a click rate and an expected AUC.

    Args:
        score: Standardized scores of a sample, (n,).
        click_rate, auc: The targets.
    """
    low, high = 0.0, 16.0
    for _ in range(30):
        scale = (low + high) / 2
        bias = _bias(scale * score, click_rate)
        reached = expected_auc(scale * score + bias)
        low, high = (scale, high) if reached < auc else (low, scale)
    return scale, bias


def _bias(score: Floats, click_rate: float) -> float:
    low, high = -64.0, 64.0
    for _ in range(40):
        bias = (low + high) / 2
        below = sigmoid(score + bias).mean() < click_rate
        low, high = (bias, high) if below else (low, bias)
    return bias
