"""Bytes and seconds of the collective operations of a training step.

A message of n bytes takes `α + n / β`, of a latency α and a bandwidth β in each
direction. All workers are equally far apart, and nothing else is on the links.

References: Thakur, Rabenseifner and Gropp, "Optimization of collective
communication operations in MPICH" (2005); Patarasuk and Yuan, "Bandwidth
optimal all-reduce algorithms for clusters of workstations" (2009), for the
bytes of a ring.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

BYTES_A_NUMBER = 4  # float32 numbers and int32 ids


class Collective(Protocol):
    """An operation of all workers.

    Attributes:
        name: What the field calls it.
        mean: Float, bytes that a worker sends, the mean over workers.
        busiest: Float, bytes through the link of the busiest worker, in the
            direction that has more.
    """

    @property
    def name(self) -> str: ...

    @property
    def mean(self) -> float: ...

    @property
    def busiest(self) -> float: ...

    def seconds(self, bandwidth: float, latency: float) -> float:
        """Time, from a bandwidth in bytes a second and seconds of latency."""


@dataclass(frozen=True)
class AllToAll:
    """Each worker sends each other one a vector for each of its lookups.

    A worker sends `b (W - 1) v` vectors to the others, for v vectors of an
    example from its own tables, and receives `b (L - v)` of the L vectors of
    each of its b examples. The way back is the same with both exchanged.

    Attributes:
        batch_size: Float b, the examples of one worker.
        vectors: The v of each worker.
        width: Integer, the numbers of a vector.
    """

    batch_size: float
    vectors: Sequence[float]
    width: int
    name = "all-to-all"

    @property
    def mean(self) -> float:
        others = len(self.vectors) - 1
        numbers = self.batch_size * sum(self.vectors) * self.width
        return BYTES_A_NUMBER * numbers * others / len(self.vectors)

    @property
    def busiest(self) -> float:
        others = len(self.vectors) - 1
        sent = others * max(self.vectors)
        received = sum(self.vectors) - min(self.vectors)
        numbers = self.batch_size * max(sent, received) * self.width
        return BYTES_A_NUMBER * numbers if others else 0.0

    def seconds(self, bandwidth: float, latency: float) -> float:
        """The faster of direct messages and Bruck's algorithm.

        The latter sends half of all data in each of ⌈log₂ W⌉ rounds, which
        pays for short messages.
        """
        workers = len(self.vectors)
        if workers == 1:
            return 0.0
        moved = self.busiest / bandwidth
        half = moved * workers / (workers - 1) / 2
        direct = (workers - 1) * latency + moved
        return min(direct, _rounds(workers) * (latency + half))


@dataclass(frozen=True)
class AllReduce:
    """All workers get the sum of their gradients of the same parameters.

    A worker sends `2 (W - 1) / W` times the gradient, the least possible, by a
    ring as well as by halving and doubling, whose `2 ⌈log₂ W⌉` rounds count
    here.

    Attributes:
        workers: Integer W.
        parameters: Integer, the numbers of the gradient.
    """

    workers: int
    parameters: int
    name = "all-reduce"

    @property
    def mean(self) -> float:
        held = BYTES_A_NUMBER * self.parameters
        return 2 * held * (self.workers - 1) / self.workers

    @property
    def busiest(self) -> float:
        return self.mean

    def seconds(self, bandwidth: float, latency: float) -> float:
        if not self.parameters:
            return 0.0
        rounds = 2 * _rounds(self.workers)
        return rounds * latency + self.mean / bandwidth


@dataclass(frozen=True)
class AllGather:
    """All workers get each other's gradients of the rows they read.

    A worker's part, an id and a gradient for each of its lookups, goes through
    each link once, so its own link carries `W - 1` parts.

    Attributes:
        workers: Integer W.
        vectors: Float, the lookups of one worker's batch.
        width: Integer, the numbers of a vector.
    """

    workers: int
    vectors: float
    width: int
    name = "all-gather"

    @property
    def mean(self) -> float:
        part = BYTES_A_NUMBER * self.vectors * (self.width + 1)
        return (self.workers - 1) * part

    @property
    def busiest(self) -> float:
        return self.mean

    def seconds(self, bandwidth: float, latency: float) -> float:
        return _rounds(self.workers) * latency + self.mean / bandwidth


def _rounds(workers: int) -> int:
    """Rounds in which what one worker has reaches all: ⌈log₂ W⌉."""
    return (workers - 1).bit_length() if workers > 1 else 0


def total_seconds(
    collectives: Sequence[Collective], bandwidth: float, latency: float
) -> float:
    """Time of operations that wait for each other."""
    return math.fsum(each.seconds(bandwidth, latency) for each in collectives)
