"""Which ids of all tables get rows of their own, by their counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.budget import Budget, InfeasibleBudget, feasible
from keras_pss.layers.base.checks import one_of, positive_int
from keras_pss.layers.fused.popular.frequent_ids import frequent_rows
from keras_pss.layers.fused.popular.popular_sizes import (
    BAND_SHARE,
    TAIL_SHARE,
    WORD,
    Sizes,
    tail_options,
)
from keras_pss.layers.fused.popular.popular_strings import (
    TAILS,
    checked_storage,
)
from keras_pss.layers.fused.popular.popular_widths import checked_widths

# Rows of ids that are seen fewer times only fit noise in click models.
MIN_COUNT = 4
# Fewer wider rows are not worth a second matrix.
_LEAST_WIDER = 1 / 8


def popular_ids(
    counts: Sequence[npt.ArrayLike],
    output_dim: int,
    budget: Budget | str | int,
    min_count: int = MIN_COUNT,
    inner_dim: int | Sequence[int] | None = None,
    storage: str | None = None,
    tail: str = "oov",
    indexed: Sequence[bool] | None = None,
) -> dict[str, Any]:
    """Options of `method="popularity"` for tables whose counts are known.

    The budget buys first a row for each id that occurs `min_count` times,
    then the widest rows, then rows twice as wide for the most frequent ids.
    If rows of one number are too many, the most frequent ids of all tables
    get them.

    Args:
        counts: For each table the number of occurrences of each id, in
            descending order from id 1 on, such as `prepared.counts(name)`.
            Id 0 of each table always has a row.
        output_dim: Integer d, the length of a row.
        budget: Upper bound on the served size of all tables together.
        min_count: Integer; rarer ids share the row of id 0. Defaults to 4.
        inner_dim: Integer k, the length of the rows in memory. Defaults to
            the largest one within the budget; what it leaves makes a first
            band of rows twice as wide, if an eighth of the ids or more are in
            it and the others share one row. Or a list of falling numbers,
            one for each band of ids, in which each band gets 30 percent of
            what is left and the last one the rest.
        storage: `"float32"`, `"int8"` or `"int4"`. By default a ratio or a
            number of parameters buys float32, and bytes buy int4, or a wider
            storage where rows of `output_dim` numbers leave room for it.
        tail: `"oov"`, `"hash"` or `"robe"`, as in `PopularityEmbedding`.
            Defaults to `"oov"`. The others take half of the budget, and what
            the frequent ids leave.
        indexed: For each table, whether its kept ids are stored in an index
            of four bytes each, since its vocabulary is not sorted by
            frequency. Defaults to None, for none.

    Returns:
        `num_rows`, a tuple of one integer for each table, or of one for each
        band of each table; `inner_dim`, `storage`, `tail`, and `buckets` or
        `memory_size` where the tail has them.

    Raises:
        ValueError: If the ids of a table are not sorted by frequency; and
            `InfeasibleBudget`, a subclass, if the budget is too small for a
            row of each table.
    """
    arrays = [np.asarray(each) for each in counts]
    positive_int("min_count", min_count)
    one_of("tail", tail, TAILS)
    parsed = Budget.parse(budget)
    limits = [
        frequent_rows(place, each, min_count)
        for place, each in enumerate(arrays)
    ]
    whole = sum(len(each) for each in arrays) * output_dim
    allowed = parsed.parameters(whole)
    if storage is None:
        kept = "int4" if parsed.is_bytes else "float32"
    else:
        kept = checked_storage(storage)
    index = np.zeros(len(arrays), bool)
    if indexed is not None:
        index[:] = indexed
    ids = _Ids(arrays, limits, WORD * index)
    sizes = Sizes(output_dim, kept, tail)
    if inner_dim is None:
        inner_dim = _widest(sizes, ids, allowed * WORD)
        if storage is None and inner_dim == output_dim:
            for wider in ("int8", "float32")[: 2 * (kept == "int4")]:
                larger = Sizes(output_dim, wider, tail)
                if _widest(larger, ids, allowed * WORD) == output_dim:
                    sizes = larger
        found = _with_wider_rows(sizes, ids, inner_dim, allowed * WORD)
        if found is not None:
            return found
    widths = checked_widths(inner_dim, output_dim)
    fewest = sizes.smallest(len(arrays), widths)
    if allowed < fewest:
        raise InfeasibleBudget(
            "method='popularity' needs a budget of at least "
            f"{feasible(fewest, whole)} for a row of each of {len(arrays)} "
            "tables. Give a larger budget or choose another method. "
            f"Received: budget={budget}, which allows {allowed}"
        )
    return _divided(sizes, ids, widths, allowed * WORD)


class _Ids:
    """The frequent ids of all tables, without ids 0, by descending count.

    Ties go to the first tables, and within a table to the first ids.

    Args:
        counts: Counts of the ids of each table.
        limits: Number of frequent ids of each table, id 0 included.
        index_bits: Bits of the index entry of an id of each table.
    """

    def __init__(
        self,
        counts: Sequence[np.ndarray],
        limits: Sequence[int],
        index_bits: np.ndarray,
    ) -> None:
        self.tables = len(counts)
        self.limits = limits
        self.total = sum(len(each) for each in counts)
        pairs = zip(counts, limits, strict=True)
        frequent = np.concatenate([each[1:limit] for each, limit in pairs])
        order = np.argsort(-frequent.astype(np.int64), kind="stable")
        tables = np.repeat(np.arange(self.tables), [n - 1 for n in limits])
        self.table = tables[order]
        self.index_bits = index_bits[self.table]

    def within(self, begin: int, width_bits: int, bits: int) -> int:
        """How many ids from `begin` on have rows within some bits."""
        if not self.index_bits.any():
            return max(0, min(bits // width_bits, len(self.table) - begin))
        spent = np.cumsum(self.index_bits[begin:] + width_bits)
        return int(np.searchsorted(spent, bits, side="right"))

    def num_rows(self, ends: Sequence[int]) -> list[np.ndarray]:
        """Rows of each table in each band, with id 0 in the first one."""
        parts = np.split(self.table, ends)[: len(ends)]
        rows = [np.bincount(part, minlength=self.tables) for part in parts]
        rows[0] = rows[0] + 1
        return rows


def _room(sizes: Sizes, bits: int, width: int) -> int:
    """Bits for rows, if the tail gets its share."""
    if sizes.tail == "oov":
        return bits
    shared = max(sizes.numbers(sizes.least_tail(width)), int(TAIL_SHARE * bits))
    return (bits - shared) // 8 * 8


def _widest(sizes: Sizes, ids: _Ids, bits: int) -> int:
    """The widest rows with which all frequent ids have one; at least 1."""
    rows, index = sum(ids.limits), int(ids.index_bits.sum())
    for width in range(sizes.output_dim, 1, -1):
        room = _room(sizes, bits - sizes.fixed([width]), width)
        if sizes.numbers(rows * width) + index <= room:
            return width
    return 1


def _with_wider_rows(
    sizes: Sizes, ids: _Ids, width: int, bits: int
) -> dict[str, Any] | None:
    """Rows of one width for all frequent ids, and wider ones for the first.

    Returns:
        The options; None if bits are left for too few wider rows.
    """
    wider = min(2 * width, sizes.output_dim)
    if sizes.tail != "oov" or wider == width:
        return None
    rows = len(ids.table)
    spent = sizes.fixed([wider, width]) + int(ids.index_bits.sum())
    spent += (ids.tables * wider + rows * width) * sizes.number
    # Two tables are rounded up to whole bytes.
    count = (bits - spent - 16) // ((wider - width) * sizes.number)
    if not _LEAST_WIDER * rows <= count < rows:
        return None
    return _options(sizes, [wider, width], ids.num_rows([count, rows]))


def _divided(
    sizes: Sizes, ids: _Ids, widths: Sequence[int], bits: int
) -> dict[str, Any]:
    """Gives rows to the most frequent ids, and the rest to the tail."""
    left = bits - sizes.fixed(widths)
    free = _room(sizes, left, widths[-1])
    ends: list[int] = []
    for band, width in enumerate(widths):
        begin = ends[-1] if ends else 0
        own = ids.tables * (band == 0)  # the ids 0
        last = band == len(widths) - 1
        share = free if last else int(BAND_SHARE * free)
        share = max(share // 8 * 8, sizes.numbers(own * width))
        count = ids.within(
            begin, width * sizes.number, share - own * width * sizes.number
        )
        ends.append(begin + count)
        spent = sizes.numbers((own + count) * width)
        spent += int(ids.index_bits[begin : begin + count].sum())
        free, left = free - spent, left - spent
    wider = _promoted(sizes, ids, widths, ends, free)
    ends = [end + wider for end in ends[:-1]] + ends[-1:]
    left -= wider * (widths[0] - widths[-1]) * sizes.number
    rows = ids.num_rows(ends)
    shared = 0
    if sizes.tail != "oov":
        # More than the rare ids have of their own would be of no use.
        rare = ids.total - sum(int(each.sum()) for each in rows)
        most = rare * (widths[-1] if sizes.tail == "hash" else sizes.output_dim)
        shared = min(left // 8 * 8 // sizes.number, most)
        shared = max(shared, sizes.least_tail(widths[-1]))
    return _options(sizes, widths, rows, shared)


def _options(
    sizes: Sizes,
    widths: Sequence[int],
    rows: Sequence[np.ndarray],
    shared: int = 0,
) -> dict[str, Any]:
    """Arguments of `PopularityEmbedding`, without bands that have no rows."""
    # The last band has the hashed rows.
    kept = [band for band, each in enumerate(rows) if each.sum()]
    if sizes.tail == "hash" and kept[-1] != len(widths) - 1:
        kept.append(len(widths) - 1)
    num_rows = [tuple(map(int, rows[band])) for band in kept]
    one = len(widths) == 1
    options: dict[str, Any] = {
        "num_rows": num_rows[0] if one else tuple(zip(*num_rows, strict=True)),
        "inner_dim": widths[0] if one else tuple(widths[b] for b in kept),
        "storage": sizes.storage,
    }
    if sizes.tail == "oov":
        return options
    found = tail_options(sizes.tail, shared, widths[-1])
    given = {name: value for name, value in found.items() if value}
    return {**options, "tail": sizes.tail, **given}


def _promoted(
    sizes: Sizes, ids: _Ids, widths: Sequence[int], ends: list[int], free: int
) -> int:
    """How many ids of the last band move up if bits are left over.

    Each band but the last takes as many ids from the next one as it gives to
    the band before it, so that only the first and the last change in size.
    """
    if len(widths) == 1 or ends[-1] < len(ids.table):
        return 0
    # Two tables are rounded up to whole bytes.
    of_one = (widths[0] - widths[-1]) * sizes.number
    return max(0, min((free - 16) // of_one, ends[-1] - ends[-2]))
