"""Overlapped streams: their order, bounds, errors, and how they end."""

import itertools
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from keras_pss.data.readers import threads
from keras_pss.data.readers.threads import ordered_map, prefetch


def double(item):
    time.sleep(0.002 * (item % 3))
    return 2 * item


def streams(items):
    return [prefetch(items, 3), ordered_map(lambda item: item, items, 2)]


@pytest.mark.parametrize("count", [0, 1, 50])
@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order(count, workers):
    doubled = ordered_map(double, prefetch(range(count), 2), workers)
    assert list(doubled) == list(range(0, 2 * count, 2))


@pytest.mark.parametrize("stream", [0, 1])
def test_only_some_items_are_made_ahead(stream):
    made = itertools.count()
    source = (next(made) for _ in itertools.count())
    got = streams(source)[stream]
    assert list(itertools.islice(got, 10)) == list(range(10))
    time.sleep(0.05)
    got.close()
    assert next(made) <= 10 + 3


@pytest.mark.parametrize("stream", [0, 1])
def test_an_error_of_the_source_is_raised(stream):
    def items():
        yield from range(20)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(streams(items())[stream])


def test_an_error_of_the_function_is_raised_in_its_place():
    got = ordered_map(lambda item: 1 // (5 - item), itertools.count(), 2)
    assert list(itertools.islice(got, 5)) == [0, 0, 0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(got)


@pytest.mark.parametrize("stream", [0, 1])
def test_closing_early_stops_the_threads_and_the_source(stream):
    closed = []

    def items():
        try:
            yield from itertools.count()
        finally:
            closed.append(True)

    before = threading.active_count()
    got = streams(items())[stream]
    assert next(got) == 0
    assert threading.active_count() > before
    got.close()
    assert threading.active_count() == before
    del got
    assert closed == [True]


def test_a_process_ends_with_streams_left_open():
    code = (
        "import itertools, sys\n"
        "sys.path.insert(0, sys.argv[1])  # the package loads a framework\n"
        "from threads import ordered_map, prefetch\n"
        "got = ordered_map(str, prefetch(itertools.count(), 4), 2)\n"
        "print(next(got))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(threads.__file__).parent)],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "0\n"
