"""Who liked what, in the order in which it happened."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
RowMask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Interactions:
    """Interactions of users with items, by user and in time order within one.

    Args:
        users: int32 (n,), ascending, in `[0, num_users)`.
        items: int32 (n,), in `[0, num_items)`.
        labels: int32 (n,), 1 for a like.
        user_ids: int64 (num_users,), ascending; the source's id of each user.
        item_ids: int64 (num_items,), ascending; the source's id of each item.
    """

    users: Int32Array
    items: Int32Array
    labels: Int32Array
    user_ids: Int64Array
    item_ids: Int64Array

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
        """Part of the interactions that are likes."""
        return float(self.labels.mean())

    @property
    def user_counts(self) -> Int64Array:
        """Interactions of each user, (num_users,)."""
        return np.bincount(self.users, minlength=self.num_users)

    @property
    def item_counts(self) -> Int64Array:
        """Interactions with each item, (num_items,)."""
        return np.bincount(self.items, minlength=self.num_items)

    def ids(self) -> npt.NDArray[np.int32]:
        """Users and items side by side, (n, 2), as a collection takes them."""
        return np.stack([self.users, self.items], axis=1)

    def split(self, last: int | float = 0.1) -> "Split":
        """Leaves out what each user did last.

        The last `last` interactions of a user are for testing, as many
        before them for validation, all earlier ones for training. Ids keep
        their meaning; an item may occur in one part only.

        Args:
            last: Of each user: a number of interactions, at least 1, or a
                fraction of them in (0, 0.5), rounded down, at least 1.

        Raises:
            ValueError: If a user is left without training rows.
        """
        counts = self.user_counts
        held = _held(counts, last)
        short = np.flatnonzero(counts <= 2 * held)
        if short.size:
            user = int(short[0])
            raise ValueError(
                "Each user needs more interactions than `last` takes twice, "
                "for testing and for validation. Take fewer, or leave such "
                f"users out. Received: last={last!r}, "
                f"{short.size} of {self.num_users} users too short, such as "
                f"user id {self.user_ids[user]} with {counts[user]}"
            )
        # Place of each row counted from the user's end, 1 for the last one.
        place = np.cumsum(counts)[self.users] - np.arange(len(self))
        held = held[self.users]
        return Split(
            train=self._part(place > 2 * held),
            validation=self._part((place > held) & (place <= 2 * held)),
            test=self._part(place <= held),
        )

    def _part(self, rows: RowMask) -> "Interactions":
        return replace(
            self,
            users=self.users[rows],
            items=self.items[rows],
            labels=self.labels[rows],
        )


class Split(NamedTuple):
    """Three parts of one log, with the ids of the whole."""

    train: Interactions
    validation: Interactions
    test: Interactions


def _held(counts: Int64Array, last: int | float) -> Int64Array:
    """Interactions of each user that one held-out part takes."""
    if isinstance(last, int) and not isinstance(last, bool) and last > 0:
        return np.full_like(counts, last)
    if isinstance(last, float) and 0 < last < 0.5:
        # As it is written: 0.29 of 100 are 29, which binary 0.29 misses.
        part = Fraction(str(last)).limit_denominator(1_000_000)
        return np.maximum(1, counts * part.numerator // part.denominator)
    raise ValueError(
        "`last` must be a positive int, interactions, or a float in (0, 0.5), "
        f"a fraction of them. Received: last={last!r} "
        f"(of type {type(last).__name__})"
    )
