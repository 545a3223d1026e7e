"""Checks of the arguments of the scaling model."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_pss.layers.base.checks import number, positive_int, positive_ints
from keras_pss.messages import shown

_UNITS = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_UNITS |= {"KB": 1e3, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


def byte_count(name: str, value: Any) -> float:
    """A positive number of bytes, or text such as '12.5GB'."""
    if isinstance(value, str) and (match := _FORM.fullmatch(value)):
        value = float(match[1]) * _UNITS.get(match[2], 0)
        given = match[0]
    else:
        given = value
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    if not ok or not 0 < value < 1e30:
        raise ValueError(
            f"`{name}` must be a positive number of bytes, such as '12.5GB' "
            "(100 Gbit are 12.5 GB). "
            f"Received: {name}={shown(given)}"
        )
    return float(value)


def lookups_of(lookups: Any, tables: int) -> tuple[int, ...]:
    """Vectors that an example reads of each table."""
    if not isinstance(lookups, list | tuple):
        return (positive_int("lookups", lookups),) * tables
    read = positive_ints("lookups", lookups)
    if len(read) != tables:
        raise ValueError(
            f"`lookups` must be one number, or one for each of {tables} "
            f"tables. Received: lookups={shown(lookups)}, {len(read)} numbers"
        )
    return read


def worker_counts(workers: Any) -> tuple[int, ...]:
    """Numbers of workers; one number stands for itself."""
    if isinstance(workers, int):
        workers = [workers]
    counts = positive_ints("workers", workers)
    if not counts:
        raise ValueError(
            "`workers` must have at least one number of workers. "
            f"Received: workers={shown(workers)}"
        )
    return counts


def local_batches(
    counts: Sequence[int], batch_size: Any, global_batch_size: Any
) -> list[int]:
    """Examples of one worker, for each number of workers."""
    if (batch_size is None) == (global_batch_size is None):
        raise ValueError(
            "Give either `batch_size`, the examples of each worker, or "
            "`global_batch_size`, those of all workers together. Received: "
            f"batch_size={shown(batch_size)}, "
            f"global_batch_size={shown(global_batch_size)}"
        )
    if batch_size is not None:
        return [positive_int("batch_size", batch_size)] * len(counts)
    whole = positive_int("global_batch_size", global_batch_size)
    uneven = [count for count in counts if whole % count]
    if uneven:
        raise ValueError(
            "`global_batch_size` must be a multiple of each number of workers "
            f"({uneven[0]}). Received: global_batch_size={whole}"
        )
    return [whole // count for count in counts]


def step_time(name: str, value: Any) -> Callable[[int], float]:
    """Milliseconds of a step by the examples of a worker, as measured.

    Args:
        name: Name of the argument.
        value: Milliseconds by batch size. One measurement holds for its batch
            size alone; of more it is a line of least squares, or one through
            the origin if that line would be below it.
    """
    if not isinstance(value, Mapping) or not value:
        raise ValueError(
            f"`{name}` must give the milliseconds of a step by the batch size "
            "that they were measured with, such as {2048: 29.6}. "
            f"Received: {name}={shown(value)}"
        )
    sizes = np.array([positive_int(name, b) for b in value], float)
    times = np.array([number(name, t, 0) for t in value.values()], float)
    if len(sizes) == 1:
        return lambda batch: _same(name, batch, int(sizes[0]), float(times[0]))
    slope, fixed = np.polyfit(sizes, times, 1)
    if fixed < 0:
        slope, fixed = (sizes @ times) / (sizes @ sizes), 0.0
    if slope < 0:
        raise ValueError(
            f"`{name}` must not fall as the batch grows; measure again, over "
            f"more steps. Received: {name}={shown(value)}"
        )
    return lambda batch: float(fixed + slope * batch)


def _same(name: str, batch: int, measured: int, time: float) -> float:
    if batch != measured:
        raise ValueError(
            f"`{name}` must be measured with the batch of a worker, {batch}, "
            "or with two batch sizes, of which a line is drawn. "
            f"Received: {name}={{{measured}: {time:g}}}"
        )
    return time
