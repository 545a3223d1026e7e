"""Recipes: the settings of published runs, and the numbers they came to.

A recipe is a TOML file in `keras_pss/recipes/`, or one of a user's own:

    title, data ("criteo" or "movielens"), log, source, notes
    [prepare]        arguments of `criteo.prepare`
    [run]            settings of `RunConfig`
    [variants.NAME]  run = {...} over those, paper = {"what" = number}

TOML has no null: `"none"` stands for it in `run`.
"""

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from keras_pss.training.config import RunConfig

DATA = ("criteo", "movielens")
_HEAD = ("title", "data", "log", "source", "notes", "prepare", "run")
_PREPARE = (
    "ids",
    "min_count",
    "hash_buckets",
    "split",
    "test_fraction",
    "validation_fraction",
    "split_seed",
)


@dataclass(frozen=True)
class Recipe:
    """One run of a paper.

    Attributes:
        name: `"file/variant"`.
        title: In a line.
        data: `"criteo"` or `"movielens"`.
        log: Which files it wants.
        source: The paper.
        notes: What differs from the paper, and what its numbers mean.
        prepare: Arguments of `criteo.prepare`.
        run: Settings of a run.
        paper: The paper's numbers, beside which the result is to be read.
    """

    name: str
    title: str
    data: str
    log: str
    source: str
    notes: str
    prepare: dict[str, Any]
    run: dict[str, Any]
    paper: dict[str, float]

    def config(self, **changes: Any) -> RunConfig:
        """The run's hyperparameters, with a user's own changes."""
        return RunConfig.of({**self.run, **changes})


def names() -> list[str]:
    """All recipes of the package."""
    found = []
    for path in _folder().iterdir():
        if path.name.endswith(".toml"):
            stem = path.name.removesuffix(".toml")
            found += [f"{stem}/{variant}" for variant in _read(stem)[1]]
    return sorted(found, key=_natural)


def load(name: str) -> Recipe:
    """A recipe by its name, `"criteo_kaggle_1000x/dcn"`, or by its file.

    Args:
        name: Of the package; or the path of a TOML file, with `/variant`
            after it.

    Raises:
        ValueError: If there is no such recipe or variant, or the file breaks
            the form.
    """
    stem, _, variant = name.rpartition("/")
    if not stem or name.endswith(".toml"):
        stem, variant = name, ""
    content, variants = _read(stem)
    if not variant and len(variants) == 1:
        (variant,) = variants
    if variant not in variants:
        listed = ", ".join(f"{stem}/{v}" for v in variants)
        raise ValueError(
            f"A recipe of {stem} must be one of {listed}. Received: {name!r}"
        )
    chosen = variants[variant]
    run = {**content.get("run", {}), **chosen.get("run", {})}
    recipe = Recipe(
        name=f"{stem}/{variant}",
        title=content["title"],
        data=content["data"],
        log=content.get("log", ""),
        source=content.get("source", ""),
        notes=" ".join(content.get("notes", "").split()),
        prepare=content.get("prepare", {}),
        run={k: None if v == "none" else v for k, v in run.items()},
        paper=chosen.get("paper", {}),
    )
    recipe.config()  # or an error
    return recipe


def _read(stem: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Head and variants of a recipe's file."""
    path = Path(stem) if stem.endswith(".toml") else None
    if path is None:
        source = _folder() / f"{stem}.toml"
        known = sorted(
            each.name[:-5]
            for each in _folder().iterdir()
            if each.name.endswith(".toml")
        )
        if not source.is_file():
            raise ValueError(
                "A recipe must be one that `keras-pss recipes` lists "
                f"({', '.join(known)}), or the path of a .toml file. "
                f"Received: {stem!r}"
            )
        text = source.read_text(encoding="utf-8")
    else:
        text = path.read_text(encoding="utf-8")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{stem} must be TOML. Received: {error}") from error
    variants = content.pop("variants", {"run": {}})
    _check(stem, content, variants)
    return content, variants


def _check(
    stem: str, content: dict[str, Any], variants: dict[str, Any]
) -> None:
    """Raises for what is missing, unknown or of a wrong kind."""

    def wrong(rule: str, received: object) -> ValueError:
        return ValueError(f"{stem}: {rule}. Received: {received!r}")

    for name in content:
        if name not in _HEAD:
            raise wrong(f"a recipe has {', '.join(_HEAD)} and variants", name)
    for name in ("prepare", "run"):
        if not isinstance(content.get(name, {}), dict):
            raise wrong(f"[{name}] must be a table", content[name])
    for name in ("title", "log", "source", "notes"):
        if not isinstance(content.get(name, ""), str):
            raise wrong(f"`{name}` must be a text", content[name])
    if not content.get("title"):
        raise wrong("`title` must say what is run", content.get("title"))
    if content.get("data") not in DATA:
        raise wrong(
            f"`data` must be one of {', '.join(DATA)}", content.get("data")
        )
    for name in content.get("prepare", {}):
        if name not in _PREPARE:
            raise wrong(f"[prepare] takes {', '.join(_PREPARE)}", name)
    if not isinstance(variants, dict) or not variants:
        raise wrong("`variants` must be tables", variants)
    for variant, chosen in variants.items():
        if not isinstance(chosen, dict) or set(chosen) - {"run", "paper"}:
            raise wrong(f"[variants.{variant}] takes run and paper", chosen)
        for part in chosen.values():
            if not isinstance(part, dict):
                raise wrong(f"[variants.{variant}] holds tables", part)
        for value in chosen.get("paper", {}).values():
            if not isinstance(value, int | float):
                raise wrong("a number of `paper` must be a number", value)


def _folder() -> Any:
    return files("keras_pss") / "recipes"


def _natural(name: str) -> list[Any]:
    """Sorts r8 before r16."""
    return [
        (int(part), "") if part.isdigit() else (0, part)
        for part in re.split(r"(\d+)", name)
    ]
