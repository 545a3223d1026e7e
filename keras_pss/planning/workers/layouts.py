"""Ways to hold embedding tables on W workers: what each sends and keeps."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_pss.optimizers.slots import slot_bytes
from keras_pss.planning.workers.collectives import (
    BYTES_A_NUMBER,
    AllGather,
    AllReduce,
    AllToAll,
    Collective,
)
from keras_pss.planning.workers.placement import place_tables


class PlannedModel(NamedTuple):
    """What does not depend on the number of workers."""

    rows: tuple[int, ...]  # of each table
    width: int
    lookups: tuple[int, ...]
    compressed: int
    dense: int
    optimizer: Any
    memory: float | None


class Held(NamedTuple):
    """Tables held in one way: what it sends and the fullest worker keeps."""

    tables: str
    collectives: Sequence[Collective]  # the first is that of the tables
    memory: int


def whole(model: PlannedModel, workers: int, batch: int) -> Held:
    """Each table on one worker."""
    sizes = [_table_bytes(model, rows) for rows in model.rows]
    dense = _copied_bytes(model, model.dense)
    left = None if model.memory is None else model.memory - dense
    places = place_tables(sizes, model.lookups, workers, left)
    vectors, held = [0.0] * workers, [0] * workers
    for table, worker in enumerate(places):
        vectors[worker] += model.lookups[table]
        held[worker] += sizes[table]
    return _model_parallel("full, whole", model, batch, vectors, max(held))


def by_rows(model: PlannedModel, workers: int, batch: int) -> Held:
    """The rows of each table divided over all workers."""
    vectors = [sum(model.lookups) / workers] * workers
    held = sum(_table_bytes(model, -(-rows // workers)) for rows in model.rows)
    return _model_parallel("full, by rows", model, batch, vectors, held)


def _model_parallel(
    tables: str,
    model: PlannedModel,
    batch: int,
    vectors: list[float],
    held: int,
) -> Held:
    rows = AllToAll(batch, vectors, model.width)
    dense = AllReduce(len(vectors), model.dense)
    # Rows come, gradients go, and ids have gone ahead.
    moved = (rows, rows, AllToAll(batch, vectors, 1), dense)
    return Held(tables, moved, held + _copied_bytes(model, model.dense))


def compressed(model: PlannedModel, workers: int, batch: int) -> Held:
    """The same tables on every worker."""
    memory = _copied_bytes(model, model.compressed + model.dense)
    gathered = AllGather(workers, batch * sum(model.lookups), model.width)
    if gathered.mean < AllReduce(workers, model.compressed).mean:
        moved = (gathered, AllReduce(workers, model.dense))
        return Held("compressed", moved, memory)
    # One operation: frameworks reduce all gradients together.
    together = AllReduce(workers, model.compressed + model.dense)
    return Held("compressed", (together,), memory)


def _table_bytes(model: PlannedModel, rows: int) -> int:
    """A table and its slots; the gradient has the rows of a batch alone."""
    shape = (rows, model.width)
    held = rows * model.width * BYTES_A_NUMBER
    return held + slot_bytes(model.optimizer, shape, "float32")


def _copied_bytes(model: PlannedModel, parameters: int) -> int:
    """Parameters, their gradients and their slots."""
    slots = slot_bytes(
        model.optimizer, (parameters, 1), "float32", by_row=False
    )
    return 2 * BYTES_A_NUMBER * parameters + slots
