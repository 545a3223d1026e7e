"""The ids of users and items that a run was trained with, and new rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from keras_pss.arrays import DamagedArraysError, open_arrays
from keras_pss.data.movielens.interactions import Int64Array, Interactions
from keras_pss.files import complete_file

_NAMES = {"user_ids", "item_ids"}


@dataclass(frozen=True)
class LikesIds:
    """The source's id of each row of a model's two tables.

    Args:
        user_ids: int64 (num_users,), ascending.
        item_ids: int64 (num_items,), ascending.
    """

    user_ids: Int64Array
    item_ids: Int64Array

    def save(self, path: Path) -> None:
        """Writes an `.npz` file that `load` reads."""
        with complete_file(path) as part, open(part, "wb") as file:
            np.savez(file, user_ids=self.user_ids, item_ids=self.item_ids)

    @staticmethod
    def are_in(path: Path) -> bool:
        """Whether a file is one that `save` wrote."""
        try:
            with open_arrays(path) as file:
                return set(file.names) == _NAMES
        except DamagedArraysError:
            return False

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a file that `save` wrote.

        Raises:
            OSError: The file cannot be opened.
            ValueError: The file is damaged or of another kind.
        """
        try:
            with open_arrays(path) as file:
                found = cls(file["user_ids"], file["item_ids"])
            for ids in (found.user_ids, found.item_ids):
                if ids.dtype != np.int64 or ids.ndim != 1 or not len(ids):
                    raise ValueError(f"ids of {ids.dtype} {ids.shape}")
                if (ids[1:] <= ids[:-1]).any():
                    raise ValueError("ids that do not ascend")
        except ValueError as error:
            raise ValueError(
                "`path` must be the ids of a run on MovieLens' ratings. Copy "
                "the run again, or train again. "
                f"Received: path={str(path)!r} ({error})"
            ) from error
        return found

    def encode(self, likes: Interactions) -> npt.NDArray[np.int32]:
        """The model's ids of users and items, int32 (n, 2).

        Raises:
            ValueError: If a user or an item is not among these.
        """
        columns, unknown, example = [], np.zeros(len(likes), bool), ""
        for name, known, ids, rows in (
            ("user", self.user_ids, likes.user_ids, likes.users),
            ("movie", self.item_ids, likes.item_ids, likes.items),
        ):
            places = np.searchsorted(known, ids).clip(max=len(known) - 1)
            new = known[places] != ids
            if new.any():
                example = example or f"{name} {ids[new.argmax()]}"
            unknown |= new[rows]
            columns.append(places[rows])
        if example:
            name = likes.source.name if likes.source else "interactions"
            raise ValueError(
                "`sources` must hold users and movies that the run was trained "
                "on: its tables have no rows for others. Remove those rows, or "
                f"train with them. Received: {name}, {unknown.sum():,} of "
                f"{len(likes):,} rows with others, such as {example}"
            )
        return np.stack(columns, axis=1).astype(np.int32)
