"""How long a comparison will take: a guess, then what its cells took."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from keras_pss.comparison.grid import Cell
from keras_pss.comparison.method_rows import FULL
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.optimizers.slots import ROW_OPTIMIZERS

# Measured with the grid `small` on one core of 2025, and only a guess for
# other machines: the first finished cells replace it.
START_SECONDS = 8.0  # builds and traces a model, and tests it
ROW_SECONDS = {
    "dlrm": 25e-6,
    "dcn": 25e-6,
    "dcnv2": 30e-6,
    "deepfm": 25e-6,
    "autoint": 100e-6,
    "xdeepfm": 80e-6,
    "fibinet": 200e-6,
    "neuralcf": 30e-6,
}
# A dense optimizer updates every parameter of full tables in every step.
PARAMETER_SECONDS = 6e-9
# Epochs beyond `patience` until the best checkpoint.
EPOCHS = 1.5


class Estimate:
    """The time that the cells of a comparison take, by those that finished.

    Args:
        rows: The log.
        cells: All cells of the grid that can be built.
        workers: Number of cells that train at the same time.
    """

    def __init__(
        self, rows: ClickLog, cells: Sequence[Cell], workers: int
    ) -> None:
        self._workers = workers
        self._cells = {cell.name: cell for cell in cells}
        train = rows.rows("train")
        ids = sum(n for n in rows.cardinalities if n is not None)
        self._guess = {
            cell.name: guessed_seconds(cell, train, ids) for cell in cells
        }

    def seconds_left(
        self, left: Iterable[str], done: Mapping[str, dict[str, Any]]
    ) -> float:
        """Seconds until the cells that are left are finished.

        A cell that is not finished takes as many times its guess as the
        finished cells most like it: with the same model, row and budget, else
        with the same model and row, the same model, or any.

        Args:
            left: Names of the cells that are not finished.
            done: Results of the finished cells, by name.
        """
        ratios = {
            how: self._ratios(how, done.values()) for how in (_exact, *_LESS)
        }

        def seconds(cell: Cell) -> float:
            for how, known in ratios.items():
                if how(cell) in known:
                    return known[how(cell)] * self._guess[cell.name]
            return self._guess[cell.name]

        times = [seconds(self._cells[name]) for name in left]
        # The last cells cannot be shared by the workers.
        return max([sum(times) / self._workers, *times], default=0.0)

    def _ratios(
        self, how: Callable[[Cell], Any], lines: Iterable[dict[str, Any]]
    ) -> dict[Any, float]:
        found: dict[Any, list[float]] = {}
        for line in lines:
            cell = self._cells[line["name"]]
            ratio = _seconds_of(line) / self._guess[cell.name]
            found.setdefault(how(cell), []).append(ratio)
        return {key: statistics.mean(each) for key, each in found.items()}


def _seconds_of(line: dict[str, Any]) -> float:
    """Seconds that a finished cell took."""
    trained: float = line["history"]["seconds"][-1]
    if "cell_seconds" not in line:
        return START_SECONDS + trained
    # A cell that was interrupted counts its last part alone.
    return max(trained, line["cell_seconds"])


def guessed_seconds(cell: Cell, rows: int, ids: int) -> float:
    """Seconds that a cell takes on one core, before any was measured.

    Args:
        cell: The cell.
        rows: Number of training rows.
        ids: Number of ids of all tables.
    """
    config = cell.config
    epochs = min(config.epochs, config.patience + EPOCHS)
    seconds = epochs * rows * ROW_SECONDS[cell.model]
    if cell.row == FULL and config.optimizer not in ROW_OPTIMIZERS:
        steps = epochs * rows / config.batch_size
        seconds += steps * ids * config.dim * PARAMETER_SECONDS
    return START_SECONDS + seconds


def _exact(cell: Cell) -> Any:
    return cell.model, cell.row, cell.budget


# From the most to the least similar cells.
_LESS: tuple[Callable[[Cell], Any], ...] = (
    lambda cell: (cell.model, cell.row),
    lambda cell: cell.model,
    lambda cell: None,
)
