"""A schema as a dictionary of plain values, and back.

    title, keys
    [format] [label] [timestamp] [group] [split]   fields of these classes
    [[feature]]   kind = "categorical", "multi", "dense" or "cross", and the
                  fields of that class; `name` may be a list of names

Fields with their default value are left out. TOML has no null: in [format],
`quote = "none"` means None.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from keras_pss.features.categorical import Categorical
from keras_pss.features.cross import Cross
from keras_pss.features.dense import Dense
from keras_pss.features.file_format import Format
from keras_pss.features.group import Group
from keras_pss.features.label import Label
from keras_pss.features.multi_categorical import MultiCategorical
from keras_pss.features.split import Split
from keras_pss.features.timestamp import Timestamp
from keras_pss.messages import did_you_mean, shown

if TYPE_CHECKING:
    from keras_pss.features.schema import Schema

KINDS: dict[str, Any] = {
    "categorical": Categorical,
    "multi": MultiCategorical,
    "dense": Dense,
    "cross": Cross,
}
PARTS: dict[str, Any] = {
    "format": Format,
    "label": Label,
    "timestamp": Timestamp,
    "group": Group,
    "split": Split,
}
_KEYS = ("title", "keys", *PARTS, "feature")
# Fields that default to the feature's name.
_NAMED = ("column", "table")


def as_dict(schema: Schema) -> dict[str, Any]:
    """The schema as a dictionary that `parts_of` reads."""
    found: dict[str, Any] = {}
    if schema.title is not None:
        found["title"] = schema.title
    if schema.keys:
        found["keys"] = list(schema.keys)
    for name in PARTS:
        part = getattr(schema, name)
        if part is not None and (entry := _entry(part)):
            found[name] = entry
    found["feature"] = [_feature(feature) for feature in schema.features]
    return found


def parts_of(content: Any, source: str = "") -> dict[str, Any]:
    """The arguments of a `Schema` from a dictionary.

    Args:
        content: The dictionary, such as the content of a TOML file.
        source: Where it comes from, for messages, such as the file's name.

    Raises:
        ValueError: If a key or kind is unknown, or a value is refused. The
            message names the source and the entry.
    """
    with within(source):
        if not isinstance(content, dict):
            raise ValueError(
                "A schema must be a dictionary. "
                f"Received: {shown(content)} (of type {type(content).__name__})"
            )
        for key in content:
            if key not in _KEYS:
                raise ValueError(
                    f"A schema has {', '.join(_KEYS)}."
                    f"{did_you_mean(key, _KEYS)} Received: {key!r}"
                )
        found = {k: content[k] for k in ("title", "keys") if k in content}
        for name in PARTS:
            if name in content:
                with within(f"[{name}]"):
                    found[name] = _part(name, content[name])
        found["features"] = _features(content.get("feature", []))
    return found


@contextmanager
def within(place: str) -> Iterator[None]:
    """Puts the place in front of the message of an error."""
    try:
        yield
    except ValueError as error:
        if not place:
            raise
        raise ValueError(f"{place}: {error}") from None


def _entry(record: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults."""
    found = {}
    for field in fields(record):
        value = getattr(record, field.name)
        by_name = field.name in _NAMED and value == getattr(
            record, "name", None
        )
        if by_name or value == field.default:
            continue
        found[field.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if value is None:  # only `quote` has another default than None
        return "none"
    return list(value) if isinstance(value, tuple) else value


def _feature(feature: Any) -> dict[str, Any]:
    (kind,) = (name for name, cls in KINDS.items() if type(feature) is cls)
    entry = _entry(feature)
    return {"kind": kind, "name": entry.pop("name"), **entry}


def _part(name: str, entry: Any) -> Any:
    _check_table(entry)
    if name == "format" and entry.get("quote") == "none":
        entry = {**entry, "quote": None}
    return PARTS[name](**entry)


def _features(entries: Any) -> list[Any]:
    if not isinstance(entries, list):
        raise ValueError(
            "`feature` must be a list of entries, [[feature]]. "
            f"Received: {shown(entries)}"
        )
    found = []
    for index, entry in enumerate(entries):
        name = entry.get("name", "") if isinstance(entry, dict) else ""
        called = f" ({shown(name)})" if name else ""
        with within(f"[[feature]] {index + 1}{called}"):
            found += _named(entry)
    return found


def _named(entry: Any) -> list[Any]:
    """The features of one entry, one for each of its names."""
    _check_table(entry)
    rest = dict(entry)
    kind = rest.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(
            f"`kind` must be one of {', '.join(KINDS)}."
            f"{did_you_mean(kind, KINDS)} Received: kind={shown(kind)}"
        )
    names = rest.get("name")
    if not isinstance(names, list):
        return [KINDS[kind](**rest)]
    if "column" in rest:
        raise ValueError(
            "`column` needs an entry with one `name`. Received: "
            f"column={shown(rest['column'])} for {len(names)} names"
        )
    return [KINDS[kind](**{**rest, "name": name}) for name in names]


def _check_table(entry: Any) -> None:
    """Raises a ValueError unless `entry` is a table with texts as keys."""
    if not isinstance(entry, dict) or not all(
        isinstance(k, str) for k in entry
    ):
        raise ValueError(
            f"An entry must be a table of fields. Received: {shown(entry)}"
        )
