"""The pipelines that sum training numbers for means and deviations."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np

from keras_pss.data.engines.beam.exchange import Exchange
from keras_pss.data.engines.beam.fit_step import measured, read_arrays
from keras_pss.data.engines.beam.fitted import OnColumns, State
from keras_pss.data.engines.beam.pipelines import Item, Pipelines
from keras_pss.data.storage.columns.dense import mean
from keras_pss.data.storage.columns.log_columns import LogColumns


def learn_moments(
    pipelines: Pipelines, state: State, columns: LogColumns, files: list[Item]
) -> None:
    """Learns the means and deviations of columns, as their `fit` does.

    Args:
        pipelines: Runs the pipelines.
        state: What was learned so far; the means of missing numbers are
            added to it.
        columns: The columns of the caller, which are fitted.
        files: Items of the kind `"numbers"` of the fit step.
    """
    files = sorted(files, key=lambda item: item["block"])

    def summed(
        name: str, centers: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        found = pipelines.run(
            name,
            files,
            lambda given: (
                given
                | "sum"
                >> beam.ParDo(SumBlock(pipelines.exchange, state, centers))
            ),
        )
        found.sort(key=lambda item: item["block"])
        return {
            column.name: mean(
                (item["sums"][column.name] for item in found),
                column.width,
            )
            for column in measured(columns)
        }

    filled = [c for c in measured(columns) if c.needs_fill]
    scaled = [c for c in measured(columns) if c.needs_moments]
    if filled:
        means = summed("fill")
        for column in filled:
            column.fill = means[column.name]
            state["fill"][column.name] = means[column.name].tolist()
    if scaled:
        centers = summed("mean")
        held = {name: center.tolist() for name, center in centers.items()}
        squares = summed("deviation", held)
        for column in scaled:
            deviation = np.sqrt(squares[column.name])
            column.moments = centers[column.name], deviation


class SumBlock(OnColumns):
    """Sums the numbers of blocks.

    Args:
        exchange, state: See `OnColumns`.
        centers: Means from which the squared distances are summed, by the
            names of the columns. Default: the numbers are summed.
    """

    def __init__(
        self,
        exchange: Exchange,
        state: State,
        centers: dict[str, Any] | None = None,
    ):
        super().__init__(exchange, state)
        self._centers = centers

    def process(self, item: Item) -> Iterator[Item]:
        held = read_arrays(self.exchange, item["file"])
        sums = {}
        for numbers, column in zip(held, measured(self.log), strict=True):
            if self._centers is None:
                found = column.totals(numbers)
            else:
                center = np.array(self._centers[column.name])
                found = column.squares(numbers, center)
            sums[column.name] = [part.tolist() for part in found]
        yield {"block": item["block"], "sums": sums}
