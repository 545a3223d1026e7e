"""A synthetic site: cardinalities, values and clicks."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_pss.data.criteo.columns import NUM_CATEGORIES, NUM_INTEGERS
from keras_pss.data.readers.block import Int32Array, UInt32Array
from keras_pss.data.synthetic import teacher
from keras_pss.data.synthetic.bayes import Floats, sigmoid
from keras_pss.ops.hash_families import pss1

# Rows per random generator. Another value would change every log.
BLOCK_ROWS = 1 << 14

# Distinct values of C1 to C26 in Criteo Kaggle.
KAGGLE_CARDINALITIES = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683,
    8351593, 3194, 27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15,
    286181, 105, 142572,
)  # fmt: skip
MAX_SCALE = 2**32 // max(KAGGLE_CARDINALITIES)  # values have 32 bits
SMALL_TABLE = 1000  # cardinalities up to this are not scaled

# Log-normal integers: mean and standard deviation of log(x), and the fraction
# of missing values.
_MEANS = (0.5, 1.5, 1.8, 1.4, 8.0, 3.2, 1.5, 2.0, 3.8, 0.2, 0.6, 0.1, 1.5)
_SPREADS = (1.2, 1.9, 1.5, 1.0, 1.8, 1.6, 1.5, 1.0, 1.4, 0.4, 1.0, 0.6, 1.2)
_INTEGERS_MISSING = (
    0.45, 0.0, 0.2, 0.2, 0.03, 0.2, 0.04, 0.0, 0.04, 0.45, 0.04, 0.7, 0.2,
)  # fmt: skip
_CATEGORIES_MISSING = (
    0.0, 0.0, 0.03, 0.03, 0.0, 0.12, 0.0, 0.0, 0.0, 0.0, 0.0, 0.03, 0.0,
    0.0, 0.0, 0.03, 0.0, 0.0, 0.4, 0.4, 0.03, 0.7, 0.0, 0.03, 0.4, 0.4,
)  # fmt: skip
_NEGATIVE = 1  # the index of I2, where some values are -1 or -2
_MAX_INTEGER = 9_999_999
_CALIBRATION_BLOCKS = 4


class RawRows(NamedTuple):
    """One block of synthetic rows with the true logits of its labels."""

    labels: Int32Array  # (n,)
    integers: Int32Array  # (n, 13)
    integers_missing: npt.NDArray[np.bool_]  # (n, 13)
    categories: UInt32Array  # (n, 26)
    categories_missing: npt.NDArray[np.bool_]  # (n, 26)
    logits: Floats  # (n,)


class _Draw(NamedTuple):
    """The features of a block, and the uniform draws for its labels."""

    ranks: UInt32Array  # (26, n)
    ranks_missing: npt.NDArray[np.bool_]  # (26, n)
    integers: Int32Array  # (n, 13)
    integers_missing: npt.NDArray[np.bool_]  # (n, 13)
    luck: Floats  # (n,)


@dataclass(frozen=True)
class World:
    """Draws rows block by block with known click probabilities.

    Args:
        scale, zipf_exponent, click_rate, bayes_auc, seed: Parameters as in
            `synthetic.generate`, which calls the seed `world_seed`.

    Raises:
        ValueError: An argument is out of range.
    """

    scale: float = 0.01
    zipf_exponent: float = 1.1
    click_rate: float = 0.25
    bayes_auc: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        for name, good, rule in (
            ("scale", 0 < self.scale <= MAX_SCALE, f"lie in (0, {MAX_SCALE}]"),
            (
                "zipf_exponent",
                self.zipf_exponent > 0 and self.zipf_exponent != 1,
                "be above 0 and not 1",
            ),
            ("click_rate", 0 < self.click_rate < 1, "lie in (0, 1)"),
            ("bayes_auc", 0.5 <= self.bayes_auc <= 0.99, "lie in [0.5, 0.99]"),
            ("seed", self.seed >= 0, "be at least 0"),
        ):
            if not good:
                raise ValueError(
                    f"`{name}` must {rule}. "
                    f"Received: {name}={getattr(self, name)}."
                )

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of ids of each column."""
        return tuple(
            n if n <= SMALL_TABLE else max(SMALL_TABLE, round(n * self.scale))
            for n in KAGGLE_CARDINALITIES
        )

    def block(self, seed: int, index: int) -> RawRows:
        """Block `index` of the log with this seed, `BLOCK_ROWS` rows."""
        # The leading 1 separates these streams from those of the calibration.
        draw = self._draw([1, seed, index])
        means, spreads, scale, bias = _calibration(self)
        parts = (np.array(self._parts(draw)) - means) / spreads
        logits = scale * (np.sqrt(teacher.SHARES) @ parts) + bias
        values = [
            raw_values(draw.ranks[column], self.seed, column)
            for column in range(NUM_CATEGORIES)
        ]
        return RawRows(
            (draw.luck < sigmoid(logits)).astype(np.int32),
            draw.integers,
            draw.integers_missing,
            np.ascontiguousarray(np.array(values).T),
            np.ascontiguousarray(draw.ranks_missing.T),
            logits,
        )

    def _draw(self, key: list[int]) -> _Draw:
        random = np.random.default_rng(key)
        ranks = np.empty((NUM_CATEGORIES, BLOCK_ROWS), np.uint32)
        absent = np.empty(ranks.shape, np.bool_)
        for column, size in enumerate(self.cardinalities):
            uniform = random.random(BLOCK_ROWS)
            ranks[column] = zipf_ranks(uniform, size, self.zipf_exponent)
            share = np.float32(_CATEGORIES_MISSING[column])
            absent[column] = random.random(BLOCK_ROWS, np.float32) < share
        shape = (BLOCK_ROWS, NUM_INTEGERS)
        normal = random.standard_normal(shape, np.float32)
        normal = normal * np.array(_SPREADS, np.float32)
        normal += np.array(_MEANS, np.float32)
        integers = np.minimum(np.exp(normal), _MAX_INTEGER).astype(np.int32)
        below = random.random(BLOCK_ROWS)
        column_2 = integers[:, _NEGATIVE]
        column_2[below < 0.1] = -1
        column_2[below < 0.01] = -2
        missing = random.random(shape, np.float32) < np.array(
            _INTEGERS_MISSING, np.float32
        )
        luck = random.random(BLOCK_ROWS)
        return _Draw(ranks, absent, integers, missing, luck)

    def _parts(self, draw: _Draw) -> tuple[Floats, Floats, Floats]:
        """Scores of ids, pairs and integers before standardization, (n,)."""
        effects, pairs = teacher.id_scores(
            draw.ranks, draw.ranks_missing, self.cardinalities, self.seed
        )
        integers = teacher.integer_scores(
            draw.integers, draw.integers_missing, self.seed
        )
        return effects, pairs, integers


@lru_cache(maxsize=16)
def _calibration(world: World) -> tuple[Floats, Floats, float, float]:
    """Means and deviations of the parts (3, 1), scale and bias of the logit."""
    sample = np.concatenate(
        [
            world._parts(world._draw([0, world.seed, index]))
            for index in range(_CALIBRATION_BLOCKS)
        ],
        axis=1,
    )  # (3, n)
    means = sample.mean(1, keepdims=True)
    spreads = sample.std(1, keepdims=True)
    score = np.sqrt(teacher.SHARES) @ ((sample - means) / spreads)
    scale, bias = teacher.calibrate(score, world.click_rate, world.bayes_auc)
    return means, spreads, scale, bias


def zipf_ranks(
    uniform: Floats, size: int, exponent: float
) -> npt.NDArray[np.int64]:
    """Ranks 0..size-1, where rank k has a frequency of about (k + 1)^-exponent.

    They are the floor of a power law on [1, size + 1), whose distribution
    function has a closed-form inverse: P(rank = k) is proportional to
    (k + 1)^(1 - exponent) - (k + 2)^(1 - exponent).

    Args:
        uniform: Uniform draws in [0, 1), of any shape.
        size: Number of ranks.
        exponent: Exponent of the power law, positive and not 1.
    """
    power = 1 - exponent
    tail = (size + 1.0) ** power
    x = (1 + uniform * (tail - 1)) ** (1 / power)
    # Rounding may reach either bound.
    return np.clip(x.astype(np.int64) - 1, 0, size - 1)


def raw_values(ranks: UInt32Array, seed: int, column: int) -> UInt32Array:
    """Raw values that look like hashes, by a permutation of 32-bit integers."""
    x = ranks + np.uint32(pss1.key(seed, column).add)
    # Each step is invertible: xor with a right shift, odd factors.
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))
