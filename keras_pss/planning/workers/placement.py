"""Which worker holds which table, if tables are placed whole."""

from collections.abc import Sequence


def place_tables(
    sizes: Sequence[int],
    lookups: Sequence[int],
    workers: int,
    memory: float | None = None,
) -> list[int]:
    """Places tables greedily, the largest first.

    A table goes to the worker that sends the fewest vectors so far, among
    those with room, and of several to the one with most memory left. If none
    has room, it goes to the one with most memory left, which is then too full.

    Args:
        sizes: Bytes of each table.
        lookups: Vectors that an example reads of each table.
        workers: Integer, the number of workers.
        memory: Bytes that each worker has for tables. Default: no limit.

    Returns:
        A list of workers, one a table.
    """
    held, sent = [0] * workers, [0] * workers
    places = [0] * len(sizes)
    for table in sorted(range(len(sizes)), key=lambda t: -sizes[t]):
        room = [
            worker
            for worker in range(workers)
            if memory is None or held[worker] + sizes[table] <= memory
        ]
        chosen = (
            min(room, key=lambda w: (sent[w], held[w]))
            if room
            else min(range(workers), key=held.__getitem__)
        )
        places[table] = chosen
        held[chosen] += sizes[table]
        sent[chosen] += lookups[table]
    return places
