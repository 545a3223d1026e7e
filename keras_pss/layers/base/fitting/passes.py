"""Progress of a fit, which passes over the table several times."""

from collections.abc import Callable
from typing import Any

import keras

from keras_pss.layers.base.checks import shown

Progress = Callable[[int, int, str], None]


class Passes:
    """Counts the passes over a table, and shows each one.

    Args:
        progress: Boolean, whether to show a bar; or a function that is called
            as `progress(rows_done, rows_total, "pass 2")`.
    """

    def __init__(self, progress: Any) -> None:
        if not isinstance(progress, bool) and not callable(progress):
            raise ValueError(
                "`progress` must be True, False, or a function of the rows "
                "done, all rows and a text. "
                f"Received: progress={shown(progress)}"
            )
        self._progress = progress
        self._count = 0

    def start(self, rows: int) -> Callable[[int], None]:
        """Begins a pass; returns what is called with the rows read."""
        self._count += 1
        number = self._count
        if callable(self._progress):
            call: Progress = self._progress
            return lambda done: call(done, rows, f"pass {number}")
        if not self._progress:
            return lambda done: None
        bar = keras.utils.Progbar(
            rows, unit_name="row", stateful_metrics=["pass"]
        )
        return lambda done: bar.update(done, [("pass", number)])
