"""Protocols for layers that update themselves between steps and epochs.

The callback `keras_pss.callbacks.LayerUpdates` calls these methods on every
layer that has them.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np


class Replaced(NamedTuple):
    """Rows that a layer has replaced, so that their optimizer slots are stale.

    Attributes:
        table: The variable that holds the rows.
        rows: Integer array, the indices of the replaced rows.
    """

    table: Any
    rows: np.ndarray


@runtime_checkable
class UpdatesAfterStep(Protocol):
    """A layer that changes its tables between two steps."""

    def after_step(self, step: int, steps_per_epoch: int) -> list[Replaced]:
        """Updates the tables if an update is due; runs on the host.

        Args:
            step: Integer, the number of completed training steps, from 1.
            steps_per_epoch: Integer, the number of steps in an epoch.

        Returns:
            The replaced rows; an empty list if no update was due.
        """


@runtime_checkable
class UpdatesAfterEpoch(Protocol):
    """A layer that changes its tables between two epochs."""

    def after_epoch(self, done: float) -> list[Replaced]:
        """Updates the tables if an update is due; runs on the host.

        Args:
            done: Float in (0, 1], the completed share of the training.

        Returns:
            The replaced rows; an empty list if no update was due.
        """
