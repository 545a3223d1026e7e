"""Runs a pipeline over a list of items, and gives the items that it makes."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from keras_pss.data.engines.beam.exchange import Exchange

Item = dict[str, Any]
# From a collection of items to a collection of others.
Step = Callable[[Any], Any]

# A graph of Beam is small: items are in files, some together.
_TOGETHER = 500


class Pipelines:
    """Runs pipelines one after the other.

    Args:
        options: Options of Beam.
        exchange: The folder that all workers see.
    """

    def __init__(self, options: PipelineOptions, exchange: Exchange):
        self._options = options
        self.exchange = exchange

    def run(self, name: str, items: Iterable[Item], step: Step) -> list[Item]:
        """Runs a pipeline to its end.

        Args:
            name: Name of the step, once for each run.
            items: JSON values.
            step: Makes the transforms.

        Returns:
            The JSON values that `step` gives, in any order.
        """
        exchange = self.exchange
        files = [
            exchange.write_items("items", some)
            for some in _batches(list(items), _TOGETHER)
        ]
        result = f"{name}-result"
        with beam.Pipeline(options=self._options) as pipeline:
            given = (
                pipeline
                | "files" >> beam.Create(files)
                | "items" >> beam.FlatMap(exchange.read_items)
                | "spread" >> beam.Reshuffle()
            )
            (
                step(given)
                | "texts" >> beam.Map(json.dumps)
                | "together" >> beam.WithKeys("")
                | "all" >> beam.GroupByKey()
                | "result" >> beam.Map(_write_result, exchange, result)
            )
        return exchange.read_items(result) if exchange.exists(result) else []


def _write_result(
    found: tuple[str, Iterable[str]], exchange: Exchange, name: str
) -> None:
    text = "".join(f"{line}\n" for line in found[1])
    written = exchange.write(name, text.encode())
    exchange.rename(written, name)


def _batches(items: Sequence[Item], size: int) -> Iterable[Sequence[Item]]:
    return (items[i : i + size] for i in range(0, len(items), size))
