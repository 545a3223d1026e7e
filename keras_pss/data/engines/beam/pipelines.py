"""Runs a pipeline over a list of items, and gives the items that it makes."""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import BeamIOError
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

from keras_pss.data.engines.beam.exchange import Exchange
from keras_pss.data.engines.beam.progress import Tell, Watch

Item = dict[str, Any]
# From a collection of items to a collection of others.
Step = Callable[[Any], Any]

# A graph of Beam is small: items are in files, some together.
_TOGETHER = 500


class PipelineError(OSError):
    """A worker or the runner of a pipeline has failed."""


class Pipelines:
    """Runs pipelines one after the other.

    Args:
        options: Options of Beam.
        exchange: The folder that all workers see.
    """

    def __init__(self, options: PipelineOptions, exchange: Exchange):
        self._options = options
        self.exchange = exchange

    def run(
        self,
        name: str,
        items: Iterable[Item],
        step: Step,
        tell: Tell = lambda done: None,
    ) -> list[Item]:
        """Runs a pipeline to its end.

        Args:
            name: Name of the step, once for each run.
            items: JSON values.
            step: Makes the transforms.
            tell: Is called with the sum of what `progress.Done` of this name
                counts, now and then.

        Returns:
            The JSON values that `step` gives, in any order.

        Raises:
            PipelineError: The pipeline failed or was cancelled.
        """
        exchange = self.exchange
        files = [
            exchange.write_items("items", some)
            for some in _batches(list(items), _TOGETHER)
        ]
        result = f"{name}-result"
        with Watch(exchange, name, tell) as watch:
            try:
                pipeline = beam.Pipeline(options=self._options)
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
                _finish(pipeline, watch)
            except Exception as error:
                raise PipelineError(
                    "`engine` 'beam' must be able to run its pipelines, but "
                    f"{name!r} failed. Beam's log tells more; mend the cause "
                    f"and prepare again. Received: {_cause(error)}"
                ) from error
        return exchange.read_items(result) if exchange.exists(result) else []


def _finish(pipeline: beam.Pipeline, watch: Watch) -> None:
    """Waits whatever the options say, as the next step needs the result."""
    running = pipeline.run()
    watch.running = running
    try:
        state = running.wait_until_finish()
    except BaseException:  # Ctrl-C stops the job of a cluster as well
        with suppress(Exception):
            running.cancel()
        raise
    if (state or running.state) != PipelineState.DONE:
        raise RuntimeError(f"its state is {state or running.state}")


def _cause(error: Exception) -> str:
    """What a worker said, without its traceback."""
    lines = str(error).strip().splitlines()
    told = [line for line in lines if "[while running" in line]
    text = told[-1] if told else " ".join(lines)
    name = type(error).__name__
    return text.strip() if told else f"{name}: {text}".removesuffix(": ")


def _write_result(
    found: tuple[str, Iterable[str]], exchange: Exchange, name: str
) -> None:
    text = "".join(f"{line}\n" for line in found[1])
    written = exchange.write(name, text.encode())
    try:
        exchange.rename(written, name)
    except BeamIOError:
        # Some file systems keep what a worker wrote that ran this before.
        if not exchange.exists(name):
            raise


def _batches(items: Sequence[Item], size: int) -> Iterable[Sequence[Item]]:
    return (items[i : i + size] for i in range(0, len(items), size))
