"""Splits the staged rows of a log as its schema says."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from keras_pss.data.storage.columns.groups import GroupColumn
from keras_pss.data.storage.log_staging import SPLIT_CODES, LogStaging
from keras_pss.data.storage.splits import RowNumbers, split_rows
from keras_pss.features import Split

Parts = dict[str, RowNumbers]


def split_log(split: Split, staging: LogStaging) -> Parts:
    """Row numbers of each split, in ascending order.

    By `"order"` and `"random"` as `splits.split_rows`. By `"time"`, rows of
    equal times are in the order of the log. By `"group"` with `last`, the last
    rows of a group are the latest ones if there is a timestamp, else the last
    ones of the log; without `last`, whole groups are drawn as rows are by
    `"random"`.

    Args:
        split: The split of the schema.
        staging: The rows, after `close`.

    Returns:
        Row numbers by the name of the split; empty splits are left out.

    Raises:
        ValueError: No row is left for training, or a column splits rows and
            no row belongs to a split that it names.
    """
    return _WAYS[split.by](split, staging)


def _by_order(split: Split, staging: LogStaging) -> Parts:
    return _fractions(staging.num_rows, "chronological", split)


def _by_random(split: Split, staging: LogStaging) -> Parts:
    return _fractions(staging.num_rows, "random", split)


def _fractions(num_rows: int, policy: str, split: Split) -> Parts:
    return split_rows(
        num_rows, policy, split.test, split.validation, split.seed
    )


def _by_time(split: Split, staging: LogStaging) -> Parts:
    assert staging.time is not None
    times = staging.time.read(range(staging.num_rows))
    parts = _by_order(split, staging)
    if (times[1:] >= times[:-1]).all():
        return parts
    order = np.argsort(times, kind="stable")
    return {
        name: np.sort(order[rows.start : rows.stop])
        for name, rows in parts.items()
        if isinstance(rows, range)
    }


def _by_column(split: Split, staging: LogStaging) -> Parts:
    assert staging.split is not None
    codes = staging.split.read(range(staging.num_rows))
    parts: Parts = {}
    wanted: dict[str, tuple[str, ...]] = {"train": ()}
    for part, texts in (split.values or {}).items():
        wanted[part] = texts
    for name, values in wanted.items():
        parts[name] = np.flatnonzero(codes == SPLIT_CODES[name])
        if not len(parts[name]):
            words = f"one of {values}" if values else "any other text"
            raise ValueError(
                f"`split` by the column {split.column!r} must give rows to "
                f"each split. Received: no {name} rows, whose column holds "
                f"{words}. Check `values` and the rejected rows."
            )
    return {name: parts[name] for name in SPLIT_CODES if name in parts}


def _by_group(split: Split, staging: LogStaging) -> Parts:
    every = range(staging.num_rows)
    (column,) = (c for c in staging.columns if isinstance(c, GroupColumn))
    groups = column.words(every)
    if split.last is None:
        drawn = _fractions(int(groups.max()) + 1, "random", split)
        return _rows_of(groups, drawn)
    times = None if staging.time is None else staging.time.read(every)
    behind = _from_the_end(groups, times)
    codes = np.full(len(groups), SPLIT_CODES["train"], np.uint8)
    codes[behind < 2 * split.last] = SPLIT_CODES["validation"]
    codes[behind < split.last] = SPLIT_CODES["test"]
    parts: Parts = {
        name: np.flatnonzero(codes == code)
        for name, code in SPLIT_CODES.items()
    }
    if not len(parts["train"]):
        raise ValueError(
            "At least one row must be left for training. Received: "
            f"{len(groups)} rows, of which the last {2 * split.last} of each "
            "group are for testing and validation. Lower `last` or check the "
            "rejected rows."
        )
    return {name: rows for name, rows in parts.items() if len(rows)}


def _rows_of(groups: npt.NDArray[np.int32], drawn: Parts) -> Parts:
    """The rows of the groups that each split has."""
    parts: Parts = {}
    for name, members in drawn.items():
        chosen = np.zeros(int(groups.max()) + 1, bool)
        chosen[np.asarray(members)] = True
        parts[name] = np.flatnonzero(chosen[groups])
    return parts


def _from_the_end(
    groups: npt.NDArray[np.int32], times: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int64]:
    """Number of rows of the same group after each row, (n,)."""
    if times is None:
        order = np.argsort(groups, kind="stable")
    else:
        order = np.lexsort((times, groups))  # stable
    ends = np.cumsum(np.bincount(groups))
    behind = np.empty(len(groups), np.int64)
    behind[order] = ends[groups[order]] - 1 - np.arange(len(groups))
    return behind


_WAYS: dict[str, Callable[[Split, LogStaging], Parts]] = {
    "order": _by_order,
    "time": _by_time,
    "random": _by_random,
    "column": _by_column,
    "group": _by_group,
}
