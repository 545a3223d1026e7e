"""Two ways to overlap work on a stream, both in the stream's order.

NumPy, hashing, decompression and file input release the interpreter lock, so
threads are enough. Closing the returned generators early, as `break` and
Ctrl-C do, stops their threads.
"""

import ctypes
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD of <malloc.h>, in bytes.
_MALLOC_LIMITS = {-3: 1 << 25, -1: 1 << 26, -2: 1 << 24}
_POLL = 0.1  # seconds after which a blocked producer looks whether to stop


@lru_cache
def _keep_freed_memory() -> None:
    """Lets threads use freed memory again, once for the process.

    glibc gives the free end of a thread's heap back to the system early, so
    that arrays of a few 100 KiB fault every page in anew: parsing and encoding
    in threads took twice to four times the time. Raising its limits keeps up
    to 64 MiB a heap; on other systems this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in _MALLOC_LIMITS.items():
            mallopt(parameter, value)


def prefetch(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Yields `items`, made ahead of time by a background thread.

    Args:
        items: What to iterate over; an exception in it is raised here.
        depth: Items that may wait; bounds the memory.
    """
    waiting: queue.Queue[tuple[str, T | BaseException | None]]
    waiting = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: str, value: T | BaseException | None = None) -> None:
        while not stop.is_set():
            try:
                return waiting.put((kind, value), timeout=_POLL)
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for item in items:
                put("item", item)
                if stop.is_set():
                    return
            put("end")
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == "end":
                return
            if isinstance(value, BaseException) and kind == "error":
                raise value
            yield value  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], workers: int
) -> Generator[R, None, None]:
    """Yields `function(item)` in order, computed by a few threads.

    Args:
        function: Called in the threads; an exception is raised here.
        items: Consumed only `workers + 1` items ahead.
        workers: Number of threads.
    """
    _keep_freed_memory()
    pending: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
