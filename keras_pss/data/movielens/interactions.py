"""Interactions of users with items in time order."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
RowMask = npt.NDArray[np.bool_]


class SourceFile(NamedTuple):
    """A file by its name and content.

    Attributes:
        name: Name without its folder.
        sha256: SHA-256 of the file as it lies.
    """

    name: str
    sha256: str


@dataclass(frozen=True)
class Interactions:
    """Interactions of users with items, sorted by user, then by time.

    Args:
        users: int32 (n,), ascending, in `[0, num_users)`.
        items: int32 (n,), in `[0, num_items)`.
        labels: int32 (n,), 1 for a like.
        user_ids: int64 (num_users,), ascending; the source's id of each user.
        item_ids: int64 (num_items,), ascending; the source's id of each item.
        source: The file that they were read from. Default: None, unknown.
    """

    users: Int32Array
    items: Int32Array
    labels: Int32Array
    user_ids: Int64Array
    item_ids: Int64Array
    source: SourceFile | None = None

    def __len__(self) -> int:
        return len(self.users)

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    @property
    def like_rate(self) -> float:
        """Fraction of the interactions that are likes."""
        return float(self.labels.mean())

    @property
    def user_counts(self) -> Int64Array:
        """Number of interactions of each user, (num_users,)."""
        return np.bincount(self.users, minlength=self.num_users)

    @property
    def item_counts(self) -> Int64Array:
        """Number of interactions with each item, (num_items,)."""
        return np.bincount(self.items, minlength=self.num_items)

    def ids(self) -> npt.NDArray[np.int32]:
        """Users and items as columns, (n, 2), the input of a collection."""
        return np.stack([self.users, self.items], axis=1)

    def split(self, last: int | float = 0.1) -> "LikesSplit":
        """Holds out the last interactions of each user.

        The last interactions of a user are for testing, the same number
        before them for validation, and all earlier ones for training. Ids
        are the same in all splits; an item may occur in one split only.

        Args:
            last: Interactions per user in each held-out split: a number of
                at least 1, or a fraction in (0, 0.5) of the user's
                interactions, which is rounded down but at least 1.
                Default: 0.1.

        Raises:
            ValueError: If a user has no training rows left.
        """
        counts = self.user_counts
        held = _held(counts, last)
        short = np.flatnonzero(counts <= 2 * held)
        if short.size:
            user = int(short[0])
            raise ValueError(
                "Each user needs more than twice the interactions that "
                "`last` holds out, for testing and for validation. Lower it, "
                f"or leave such users out. Received: last={last!r}, "
                f"{short.size} of {self.num_users} users with too few, such "
                f"as user id {self.user_ids[user]} with {counts[user]}"
            )
        # Position of each row from the user's end, 1 for the last row.
        place = np.cumsum(counts)[self.users] - np.arange(len(self))
        held = held[self.users]
        return LikesSplit(
            train=self._part(place > 2 * held),
            validation=self._part((place > held) & (place <= 2 * held)),
            test=self._part(place <= held),
        )

    def _part(self, rows: RowMask) -> Self:
        return replace(
            self,
            users=self.users[rows],
            items=self.items[rows],
            labels=self.labels[rows],
        )


class LikesSplit(NamedTuple):
    """Three splits of one log with the same ids."""

    train: Interactions
    validation: Interactions
    test: Interactions


def _held(counts: Int64Array, last: int | float) -> Int64Array:
    """Number of interactions of each user in one held-out split."""
    if isinstance(last, int) and not isinstance(last, bool) and last > 0:
        return np.full_like(counts, last)
    if isinstance(last, float) and 0 < last < 0.5:
        # The decimal fraction: 0.29 of 100 is 29, but binary 0.29 gives 28.
        part = Fraction(str(last)).limit_denominator(1_000_000)
        return np.maximum(1, counts * part.numerator // part.denominator)
    raise ValueError(
        "`last` must be a positive int, a number of interactions, or a float "
        f"in (0, 0.5), a fraction of them. Received: last={last!r} "
        f"(of type {type(last).__name__})"
    )
