"""Which texts may name a feature."""

import re

from keras_pss.messages import shown

# A model's inputs, the columns of a block of values.
RESERVED = ("categorical", "dense", "group", "label", "split", "time")
_NAME = re.compile(
    r"[^\s:/\x00-\x1f\x7f]([^:/\x00-\x1f\x7f]*[^\s:/\x00-\x1f\x7f])?"
)


def check_name(name: str) -> None:
    """Raises a ValueError unless `name` may name a feature."""
    if name in RESERVED:
        raise ValueError(
            f"`name` must not be one of {', '.join(RESERVED)}, which are "
            "taken. Choose another one and give the column's name as "
            f"`column`. Received: name={name!r}"
        )
    if not _NAME.fullmatch(name):
        raise ValueError(
            "`name` must be a text without ':', '/', control characters and "
            "blanks around it. Choose another one and give the column's name "
            f"as `column`. Received: name={shown(name)}"
        )
