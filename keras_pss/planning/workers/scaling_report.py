"""What a step on many workers costs, as a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from keras_pss.text_tables import aligned, byte_size


@dataclass(frozen=True)
class WorkerStep:
    """One training step of all workers, with tables held in one way.

    Attributes:
        workers: Integer W.
        batch_size: Integer b, the examples of each worker.
        tables: `"full, whole"`, placed whole on workers; `"full, by rows"`,
            the rows of each divided; or `"compressed"`, on every worker.
        exchange: The operation that the tables need; `"none"` for one worker.
        mean_bytes: Integer, bytes that a worker sends, the mean over workers.
        busiest_bytes: Integer, bytes of the busiest worker, sent or received.
        memory_bytes: Integer, bytes of the fullest worker: parameters,
            optimizer slots, and gradients of what all workers hold alike.
        fits: Whether these are within the memory of a worker; None if that
            is unknown.
        break_even: Integer, the largest number of parameters of compressed
            tables whose all-reduce sends no more than the all-to-all; None
            for one worker.
        communication_ms: Float, milliseconds of all exchanges; None without
            a bandwidth.
        step_ms: Float, the same with the measured time of a step; None
            without one.
        examples_per_second: Float, of all workers; None as above.
    """

    workers: int
    batch_size: int
    tables: str
    exchange: str
    mean_bytes: int
    busiest_bytes: int
    memory_bytes: int
    fits: bool | None
    break_even: int | None
    communication_ms: float | None
    step_ms: float | None
    examples_per_second: float | None


@dataclass(frozen=True)
class Scaling:
    """What `keras_pss.planning.scaling` found; `print` shows a table.

    Attributes:
        steps: One `WorkerStep` for each number of workers and each way to hold
            tables.
        full_parameters: Integer, parameters of the full tables.
        compressed_parameters: Integer, parameters of the compressed ones.
        dense_parameters: Integer, parameters besides the tables.
        lookups: Integer L, vectors that an example reads.
        optimizer: Name of the optimizer.
    """

    steps: tuple[WorkerStep, ...]
    full_parameters: int
    compressed_parameters: int
    dense_parameters: int
    lookups: int
    optimizer: str

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {**asdict(self), "steps": [asdict(step) for step in self.steps]}

    def __str__(self) -> str:
        columns = [c for c in _COLUMNS if any(c[1](s) for s in self.steps)]
        lines = [[head for head, _ in columns]]
        lines += [[cell(step) for _, cell in columns] for step in self.steps]
        text = aligned(lines, (2, 3))
        del text[-2]  # the last line is no total
        text.append(
            f"Full tables: {self.full_parameters:,} parameters; compressed: "
            f"{self.compressed_parameters:,}; besides them: "
            f"{self.dense_parameters:,}. {self.lookups} lookups an example, "
            f"{self.optimizer}."
        )
        text += _break_even(self.steps)
        return "\n".join(text)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


_COLUMNS = (
    ("workers", lambda s: f"{s.workers:,}"),
    ("batch", lambda s: f"{s.batch_size:,}"),
    ("tables", lambda s: s.tables),
    ("exchange", lambda s: s.exchange),
    ("sent, mean", lambda s: byte_size(s.mean_bytes)),
    ("busiest", lambda s: byte_size(s.busiest_bytes)),
    ("memory", lambda s: byte_size(s.memory_bytes)),
    ("fits", lambda s: {None: "", True: "yes", False: "no"}[s.fits]),
    ("communication ms", lambda s: _number(s.communication_ms, ".2f")),
    ("step ms", lambda s: _number(s.step_ms, ".2f")),
    ("examples/s", lambda s: _number(s.examples_per_second, ",.0f")),
)


def _break_even(steps: Sequence[WorkerStep]) -> list[str]:
    sizes = {s.workers: s.break_even for s in steps if s.break_even is not None}
    if not sizes:
        return []
    shown = [f"{size:,}" for size in sizes.values()]
    if len(set(shown)) > 1:
        shown = [f"{n} (on {w:,})" for w, n in zip(sizes, shown, strict=True)]
    else:
        del shown[1:]
    return [
        "Compressed tables send no more than full ones, on average, up to this "
        f"many parameters: {', '.join(shown)}."
    ]
