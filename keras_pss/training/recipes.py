"""Recipes: the settings of published runs, and the numbers they came to.

A recipe is a TOML file in `keras_pss/recipes/`, or one of a user's own:

    title, data ("criteo" or "movielens"), log, source, notes
    [prepare]        arguments of `criteo.prepare`
    [run]            settings of `RunConfig`
    [variants.NAME]  run = {...} over those, paper = {"what" = number}

TOML has no null: `"none"` stands for it in `run`.
"""

import re
from dataclasses import dataclass
from typing import Any

from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.training.config import RunConfig
from keras_pss.training.named_toml import names_in, read_named

FOLDER = "recipes"
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
        return RunConfig.of(changed(self.run, changes))

    def notes_of_report(self) -> dict[str, Any]:
        """What a run's report says of the recipe."""
        return {"recipe": self.name, "paper": self.paper}

    def check_log(self, log: ClickLog) -> None:
        """Raises where the recipe is one for another log."""
        if log.kind != self.data:
            raise ValueError(
                f"The recipe {self.name} is one for {self.log}. Give that as "
                f"`data`, or another `recipe`. Received: {log.name}, a log of "
                f"the kind {log.kind}"
            )


def changed(
    settings: dict[str, Any], changes: dict[str, Any]
) -> dict[str, Any]:
    """A recipe's settings with a user's own.

    A changed method or model takes none of the arguments that the recipe has
    for its own; where it is the same, they are joined. Of `min_rows` and
    `compress_largest`, which stand in place of one another, the user's holds.

    Args:
        settings: Of the recipe, by name in `RunConfig`.
        changes: Of the user; what is not in it stays as it is.
    """
    found = {**settings, **changes}
    alternatives = {"min_rows", "compress_largest"}
    if alternatives & set(changes):
        found.update(dict.fromkeys(alternatives - set(changes)))
    for part, options in (("method", "options"), ("model", "model_options")):
        if part in changes or options in changes:
            before = {} if part in changes else settings.get(options, {})
            found[options] = {**before, **changes.get(options, {})}
    return found


def names() -> list[str]:
    """All recipes of the package."""
    found = []
    for stem in names_in(FOLDER):
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
    content = read_named(stem, FOLDER, "recipe")
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


def _natural(name: str) -> list[Any]:
    """Sorts r8 before r16."""
    return [
        (int(part), "") if part.isdigit() else (0, part)
        for part in re.split(r"(\d+)", name)
    ]
