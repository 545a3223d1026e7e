"""A schema's dictionary as the text of a TOML file, for people to edit.

tomlkit writes it, and not tomli-w, because a draft needs short lines and
comments.
"""

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.items import Array, Table

_WIDTH = 72  # characters of a line of an array


def dump(content: dict[str, Any], comments: Mapping[str, str]) -> str:
    """The text of a TOML file.

    Neighbouring features that differ in nothing but the name are one entry.

    Args:
        content: The dictionary of `as_dict`.
        comments: A line for some of the features, by name, written above
            their entry.
    """
    document = tomlkit.document()
    for key, value in content.items():
        if key == "feature":
            continue
        document[key] = _item(value)
    entries = tomlkit.aot()
    for entry in _together(content["feature"], comments):
        names = entry["name"]
        table = tomlkit.table()
        for name in names if isinstance(names, list) else [names]:
            if name in comments:
                table.add(tomlkit.comment(comments[name]))
        _fill(table, entry)
        entries.append(table)
    document["feature"] = entries
    return tomlkit.dumps(document).strip() + "\n"


def _together(
    features: list[dict[str, Any]], comments: Mapping[str, str]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before: tuple[dict[str, Any], str | None] | None = None
    for feature in features:
        rest = {k: v for k, v in feature.items() if k != "name"}
        like = rest, comments.get(feature["name"])
        if like == before and "column" not in rest:
            last = found[-1]
            names = last["name"]
            last["name"] = [
                *(names if isinstance(names, list) else [names]),
                feature["name"],
            ]
        else:
            found.append(dict(feature))
        before = like
    return found


def _fill(table: Table, entry: dict[str, Any]) -> None:
    for key, value in entry.items():
        table[key] = _item(value)


def _item(value: Any) -> Any:
    if isinstance(value, dict):
        table = tomlkit.table()
        _fill(table, value)
        return table
    if not isinstance(value, list):
        return value
    array: Array = tomlkit.array()
    if len(str(value)) <= _WIDTH:
        array.extend(value)
        return array
    line: list[Any] = []
    for each in value:
        if line and len(str([*line, each])) > _WIDTH:
            array.add_line(*line)
            line = []
        line.append(each)
    array.add_line(*line)
    array.add_line(indent="")
    return array
