"""TOML files by name: one of the package, or the path of a user's own."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any


def names_in(folder: str) -> list[str]:
    """Names of the package's files in `keras_pss/{folder}`, sorted."""
    return sorted(
        path.name.removesuffix(".toml")
        for path in _folder(folder).iterdir()
        if path.name.endswith(".toml")
    )


def read_named(name: str, folder: str, what: str) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        name: One of `names_in(folder)`, or a path that ends in `.toml`.
        folder: Of the package.
        what: What the file is, for the messages, such as `"grid"`.

    Raises:
        ValueError: If there is no such file, or it is no TOML.
    """
    own = name.endswith(".toml")
    path = Path(name) if own else _folder(folder) / f"{name}.toml"
    if not path.is_file():
        raise ValueError(
            f"A {what} must be one of {', '.join(names_in(folder))}, or the "
            f"path of a .toml file. Received: {name!r}"
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no TOML, or no text
        raise ValueError(f"{name} must be TOML. Received: {error}") from error


def _folder(name: str) -> Any:
    return files("keras_pss") / name
