"""How often an id must occur to deserve a row of its own.

A row of its own costs an id with c clicks or views an expected 1 / (2c) nats
of log loss for each lookup, the error of one number that is estimated from c
labels. Sharing one row with all rare ids costs v tau^2 / 2, with v the
variance of a label and tau^2 that of the true logits of a column's ids. So
the row pays from the break-even count on:

    c* = 1 / (v tau^2)
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.checks import number
from keras_pss.layers.planned.click_spread import ClickSpread, click_spread

# The break-even count of Criteo's log, and the variance of its labels.
_COUNT, _VARIANCE = 13.0, 0.19
# Early stopping shrinks rows towards the shared one. Those of rarer ids then
# pay as well: on Criteo's log from c* / 7 to 2/5 c* on, nearly alike. Where
# ids are silent, such rows would come at the cost of products: 3/4 c* is best.
_SHRUNK, _SHRUNK_SILENT = 0.3, 0.75
# The spread of very frequent ids says little about that of rare ones, and as
# many labels would outweigh all others.
_FEWEST, _MOST = 2, 200
# Where ids tell nothing on their own, frequent ones still deserve rows.
LARGEST = 1000.0
# Ids with this many times the break-even count of Criteo's tell so little on
# their own that whatever a model learns of them lies in products with others.
_SILENT = 5


@dataclass(frozen=True)
class Worth:
    """The break-even count of a log.

    Attributes:
        break_even: c*, a number of training rows.
        source: `"labels"`, `"click rate"` or `"default"`: what it follows
            from.
        silent: Whether ids tell little on their own.
    """

    break_even: float = _COUNT
    source: str = "default"
    silent: bool = False

    @classmethod
    def of_rate(cls, click_rate: float) -> Self:
        """From the share of clicks, with the spread of Criteo's ids.

        Raises:
            ValueError: If `click_rate` is not within (0, 1).
        """
        number("click_rate", click_rate, 0, 1)
        variance = click_rate * (1 - click_rate)
        if not variance:
            raise ValueError(
                "`click_rate` must be above 0 and below 1, the share of rows "
                f"with a click. Received: click_rate={click_rate}"
            )
        return cls(min(LARGEST, _COUNT * _VARIANCE / variance), "click rate")

    @classmethod
    def of_labels(
        cls,
        columns: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]],
        click_rate: float,
    ) -> Self:
        """From the clicks of each id, by the method of moments.

        Over the ids of a column that occur c_i times, with r_i = clicks / c_i,

            Q = sum_i c_i (r_i - r)^2 / v
            tau^2 = (Q - (m - 1)) / (sum_i c_i - sum_i c_i^2 / sum_i c_i) / v

        and numerators and denominators are added over the columns.

        Args:
            columns: For each column the number of rows of each id, and the
                number of those with a click. Both count the same rows.
            click_rate: Share of all rows with a click.
        """
        default = cls.of_rate(click_rate)
        above = below = 0.0
        for seen, clicks in columns:
            found = _spread(np.asarray(seen), np.asarray(clicks))
            if found is not None:
                above, below = above + found.excess, below + found.weight
        if below <= 0:
            return default
        # above / below is v tau^2, or negative where ids tell nothing.
        count = below / above if above > 0 else math.inf
        return cls(
            min(LARGEST, max(1.0, count)),
            "labels",
            count > _SILENT * default.break_even,
        )

    def min_count(self, share: float = 1.0) -> int:
        """The smallest count of an id that gets a row of its own.

        Args:
            share: Number of rows that were counted, divided by the number of
                training rows.
        """
        shrunk = _shrunk(self.silent)
        return max(1, round(shrunk * self.break_even * share))

    def choices(self, share: float = 1.0) -> dict[str, Any]:
        """The options of `method="auto"` that follow."""
        return {
            "min_count": self.min_count(share),
            **({"silent": True} if self.silent else {}),
        }


def break_even_of(min_count: int, silent: bool) -> float:
    """The break-even count that led to a smallest count."""
    return min_count / _shrunk(silent)


def _shrunk(silent: bool) -> float:
    return _SHRUNK_SILENT if silent else _SHRUNK


def _spread(
    seen: npt.NDArray[np.int64], clicks: npt.NDArray[np.int64]
) -> ClickSpread | None:
    """The spread of a column's rare ids."""
    kept = (seen >= _FEWEST) & (seen < _MOST)
    kept[:1] = False  # out-of-vocabulary values are no id
    return click_spread(seen[kept], clicks[kept])
