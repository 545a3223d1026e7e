"""The rule that the options of a table of ids share."""

from keras_pss.messages import shown


def check_ids(
    ids: str, min_count: int, max_values: int | None, buckets: int | None
) -> None:
    """Raises a ValueError if an option has no effect with such `ids`."""
    wrong: dict[str, object] = {}
    if ids == "hash":
        if min_count != 1:
            wrong["min_count"] = min_count
        if max_values is not None:
            wrong["max_values"] = max_values
        needed = "vocabulary"
    else:
        if buckets is not None:
            wrong["buckets"] = buckets
        needed = "hash"
    for name, value in wrong.items():
        raise ValueError(
            f"`{name}` needs ids={needed!r}. Give that, or leave `{name}` "
            f"out. Received: {name}={shown(value)}, ids={ids!r}"
        )
