"""What layers do to themselves between steps and epochs of training.

A layer that has one of these methods is asked by the callback
`keras_pss.callbacks.LayerUpdates`.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np


class Replaced(NamedTuple):
    """Rows that a layer replaced, whose optimizer slots are stale.

    Attributes:
        table: The weight.
        rows: Integers, the numbers of its rows.
    """

    table: Any
    rows: np.ndarray


@runtime_checkable
class UpdatesAfterStep(Protocol):
    """A layer that changes its tables between two steps."""

    def after_step(self, step: int, steps_per_epoch: int) -> list[Replaced]:
        """Changes the tables where it is time to; on the host.

        Args:
            step: Steps of training that are over, 1 or more.
            steps_per_epoch: Steps of an epoch.
        """


@runtime_checkable
class UpdatesAfterEpoch(Protocol):
    """A layer that changes its tables between two epochs."""

    def after_epoch(self, done: float) -> list[Replaced]:
        """Changes the tables where it is time to; on the host.

        Args:
            done: The share of the training that is over, in (0, 1].
        """
