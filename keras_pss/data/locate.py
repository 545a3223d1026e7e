"""Click logs from what users have at hand."""

from pathlib import Path
from typing import Any

from keras_pss.data import criteo, movielens
from keras_pss.data.movielens.likes_log import LikesLog
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.data.pipelines.prepared_log import PreparedLog


def as_click_log(data: Any) -> ClickLog:
    """Rows of a run, from what users have at hand.

    Args:
        data: a `ClickLog`, what `criteo.prepare` returned, or MovieLens'
            interactions.
    """
    if isinstance(data, ClickLog):
        return data
    if isinstance(data, movielens.Interactions):
        return LikesLog(data)
    if isinstance(data, criteo.Prepared):
        return PreparedLog(data)
    raise ValueError(
        "`data` must be what `criteo.prepare`, `criteo.load` or "
        f"`movielens.load` returned. Received: {type(data).__name__}"
    )


def open_click_log(path: Path) -> ClickLog:
    """Rows by their place: a prepared folder, or a file of ratings.

    Raises:
        ValueError: If it is neither.
    """
    if path.is_dir():
        return PreparedLog(criteo.load(path))
    if is_ratings(path) and path.is_file():
        return LikesLog(movielens.load(path))
    raise ValueError(
        "Data must be a folder that `keras-pss prepare` wrote, or MovieLens' "
        f"ratings (.dat or .csv, also compressed). Received: {path}"
    )


def is_ratings(path: Path) -> bool:
    """Whether a file is named as MovieLens' ratings are."""
    return path.with_suffix("").suffix in (".dat", ".csv") or path.suffix in (
        ".dat",
        ".csv",
    )
