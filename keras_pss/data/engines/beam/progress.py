"""What a pipeline has done so far, while it runs.

Workers count in a metric of Beam. Some runners tell metrics only at the end;
so where the exchange is a folder of a machine, workers count there as well.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Self

from apache_beam.metrics import Metrics, MetricsFilter

from keras_pss.data.engines.beam.exchange import Exchange

_logger = logging.getLogger(__name__)

Tell = Callable[[int], None]

_SECONDS = 2.0
_NAMESPACE = "keras_pss"


class Done:
    """Counts what the workers of a pipeline do.

    Args:
        exchange: The folder that all workers see.
        name: Name of the pipeline.
    """

    def __init__(self, exchange: Exchange, name: str):
        self._exchange = exchange
        self._name = name

    def add(self, number: int) -> None:
        """Adds to what is done; a bundle that is run again counts again."""
        Metrics.counter(_NAMESPACE, self._name).inc(number)
        self._exchange.add_number(f"{self._name}-done", number)


class Watch:
    """Tells what is done, from a thread, until it is left.

    Args:
        exchange, name: See `Done`.
        tell: Is called with the sum.

    Attributes:
        running: The pipeline's result, once there is one.

    Raises:
        Exception: At the end, what `tell` has raised.
    """

    def __init__(self, exchange: Exchange, name: str, tell: Tell):
        self._exchange = exchange
        self._name = name
        self._tell = tell
        self.running: Any = None
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._stop.set()
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _watch(self) -> None:
        while not self._stop.wait(_SECONDS):
            done = max(self._metric(), self._numbers())
            if not done:
                continue
            try:
                self._tell(done)
            except BaseException as error:
                self._error = error
                return

    def _numbers(self) -> int:
        try:
            return self._exchange.sum_of_numbers(f"{self._name}-done")
        except OSError:  # no worker has counted yet
            return 0

    def _metric(self) -> int:
        if self.running is None:
            return 0
        wanted = MetricsFilter().with_namespace(_NAMESPACE)
        wanted = wanted.with_name(self._name)
        try:
            found = self.running.metrics().query(wanted)["counters"]
        except Exception as error:  # each runner has its own
            _logger.debug("No metrics: %s", error)
            return 0
        return sum(one.attempted or 0 for one in found)
