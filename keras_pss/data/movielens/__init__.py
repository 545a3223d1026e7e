"""MovieLens ratings as likes, with the last ones of each user held out.

>>> from keras_pss.data import movielens
>>> likes = movielens.load("ml-1m/ratings.dat")
>>> likes.num_users, likes.num_items
(6040, 3706)
>>> train, validation, test = likes.split(last=0.1)
"""

from pathlib import Path

import numpy as np

from keras_pss.data.movielens import ratings
from keras_pss.data.movielens.interactions import (
    Interactions,
    LikesSplit,
    SourceFile,
)

__all__ = ["Interactions", "LikesSplit", "load"]


def load(path: str | Path) -> Interactions:
    """Reads a file of ratings or likes.

    There are three formats: `ratings.dat` (MovieLens 1M and 10M:
    `user::movie::rating::time`), `ratings.csv` (20M and later:
    `userId,movieId,rating,timestamp`), and CSV of `user_id,movie_id,like`
    whose lines are in time order within each user.
    A rating of 4 and above is a like. Users and movies are numbered from 0 in
    the order of their ids in the file. Ratings are ordered by time within a
    user; ratings of the same second keep the order of the file.

    Args:
        path: The file: plain, `.gz`, `.xz` or `.zst`.

    Returns:
        All interactions of the file.

    Raises:
        ValueError: For a broken line, with its number and the rule, or for
            an unknown format. No line is skipped.
        OSError: If the file cannot be read.

    References: Harper and Konstan, "The MovieLens datasets: history and
    context" (ACM TiiS 2015).
    """
    path = Path(path)
    read, sha256 = ratings.read(path)
    user_ids, users = np.unique(read.users, return_inverse=True)
    item_ids, items = np.unique(read.items, return_inverse=True)
    order = np.lexsort((read.times, users))  # stable
    return Interactions(
        users=users[order].astype(np.int32),
        items=items[order].astype(np.int32),
        labels=read.likes[order],
        user_ids=user_ids,
        item_ids=item_ids,
        source=SourceFile(path.name, sha256),
    )
