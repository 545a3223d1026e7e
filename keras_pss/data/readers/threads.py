"""Two ways to overlap work on a stream, both in the stream's order.

NumPy, hashing, decompression and file input release the interpreter lock, so
threads are enough. Closing the returned generators early, as `break` and
Ctrl-C do, stops their threads; a process may also end without closing them.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice, repeat
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORKERS = min(4, os.cpu_count() or 1)


def prefetch(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Yields `items`, made ahead of time by a background thread.

    Args:
        items: What to iterate over, from that thread only; an exception in it
            is raised here.
        depth: Items that may wait; bounds the memory.
    """
    source = iter(items)

    def take(_: None) -> list[T]:
        return list(islice(source, 1))  # empty at the end

    with closing(ordered_map(take, repeat(None), 1, depth)) as made:
        for item in made:
            if not item:
                return
            yield item[0]


def ordered_map(
    function: Callable[[T], R],
    items: Iterable[T],
    workers: int,
    ahead: int | None = None,
) -> Generator[R, None, None]:
    """Yields `function(item)` in order, computed by a few threads.

    Args:
        function: Called in the threads; an exception is raised here.
        items: Consumed only `ahead` items before the results.
        workers: Number of threads.
        ahead: Bounds the memory; None for one more than `workers`.
    """
    ahead = ahead or workers + 1
    pending: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
