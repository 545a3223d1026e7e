"""Splits the staged rows of a log as its schema says."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from keras_pss.data.storage.splits import RowNumbers, split_rows
from keras_pss.features import Split

if TYPE_CHECKING:
    import polars as pl

Parts = dict[str, RowNumbers]

# What the texts of the column of a split by a column mean.
SPLIT_CODES = {"train": 0, "validation": 1, "test": 2}


class SplitRows(Protocol):
    """What splits read of all rows, in order."""

    num_rows: int

    def times(self) -> np.ndarray | None: ...

    def codes(self) -> np.ndarray: ...

    def groups(self) -> np.ndarray: ...


def split_codes(split: Split, texts: "pl.Series") -> npt.NDArray[np.uint8]:
    """`SPLIT_CODES` (n,) of the texts of a split by a column."""
    codes = np.zeros(len(texts), np.uint8)
    for name, values in (split.values or {}).items():
        codes[texts.is_in(list(values)).to_numpy()] = SPLIT_CODES[name]
    return codes


def split_log(split: Split, log: SplitRows) -> Parts:
    """Row numbers of each split, in ascending order.

    By `"order"` and `"random"` as `splits.split_rows`. By `"time"`, rows of
    equal times are in the order of the log. By `"group"` with `last`, the last
    rows of a group are the latest ones if there is a timestamp, else the last
    ones of the log; without `last`, whole groups are drawn as rows are by
    `"random"`.

    Args:
        split: The split of the schema.
        log: What the split reads of the rows.

    Returns:
        Row numbers by the name of the split; empty splits are left out.

    Raises:
        ValueError: No row is left for training, or a column splits rows and
            no row belongs to a split that it names.
    """
    return _WAYS[split.by](split, log)


def _by_order(split: Split, log: SplitRows) -> Parts:
    return _fractions(log.num_rows, "chronological", split)


def _by_random(split: Split, log: SplitRows) -> Parts:
    return _fractions(log.num_rows, "random", split)


def _fractions(num_rows: int, policy: str, split: Split) -> Parts:
    return split_rows(
        num_rows, policy, split.test, split.validation, split.seed
    )


def _by_time(split: Split, log: SplitRows) -> Parts:
    times = log.times()
    assert times is not None
    parts = _by_order(split, log)
    if (times[1:] >= times[:-1]).all():
        return parts
    order = np.argsort(times, kind="stable")
    return {
        name: np.sort(order[rows.start : rows.stop])
        for name, rows in parts.items()
        if isinstance(rows, range)
    }


def _by_column(split: Split, log: SplitRows) -> Parts:
    codes = log.codes()
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


def _by_group(split: Split, log: SplitRows) -> Parts:
    groups = log.groups()
    if split.last is None:
        drawn = _fractions(int(groups.max()) + 1, "random", split)
        return _rows_of(groups, drawn)
    behind = _from_the_end(groups, log.times())
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


_WAYS: dict[str, Callable[[Split, SplitRows], Parts]] = {
    "order": _by_order,
    "time": _by_time,
    "random": _by_random,
    "column": _by_column,
    "group": _by_group,
}
