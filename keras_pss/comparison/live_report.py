"""A report that is rewritten while the cells of a comparison are trained."""

import logging
import time
from pathlib import Path

from keras_pss.comparison.report import write_report
from keras_pss.comparison.runner import Outcome

logger = logging.getLogger(__name__)

# Seconds between two reports.
PAUSE = 60.0
# The first reports follow each other faster: they are what a person waits for.
FIRST_PAUSE = 10.0
FIRST_CELLS = 12
# Reports take at most this share of the time, however many rows are tested.
SHARE = 0.1


class LiveReport:
    """Writes the report of the finished cells, but not after each of them.

    A report that fails is logged and does not end the comparison.

    Args:
        out: Folder of the comparison.
        best_auc, data: As in `write_report`.
    """

    def __init__(
        self, out: Path, best_auc: float | None = None, data: str | None = None
    ) -> None:
        self._out, self._best_auc, self._data = out, best_auc, data
        self._next = 0.0

    def __call__(self, outcome: Outcome) -> bool:
        """Writes a report unless the last one is too recent.

        Returns:
            Whether a report was written.
        """
        begun = time.monotonic()
        if not outcome.results or begun < self._next:
            return False
        try:
            write_report(outcome, self._out, self._best_auc, data=self._data)
        except Exception as error:
            logger.warning("The report could not be written yet: %s", error)
        ended = time.monotonic()
        few = len(outcome.results) < FIRST_CELLS
        pause = FIRST_PAUSE if few else PAUSE
        self._next = ended + max(pause, (ended - begun) / SHARE)
        return True
