"""Recipes: the settings of published runs, and the published results.

A recipe is a TOML file in `keras_pss/recipes/`, or a file of the user:

    title, log, source, notes
    data             "criteo" or "movielens"; or in its place
    schema           a preset, such as "avazu", or the path of a schema
    [prepare]        arguments of `criteo.schema`; with a schema, `min_count`
                     of its features, and `split` in place of its split
    [run]            settings of `RunConfig`
    [variants.NAME]  run = {...}, which overrides [run];
                     paper = {"what" = number}

TOML has no null: in `run`, `"none"` means None.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_pss.data.schema_differences import same_features
from keras_pss.features import Schema
from keras_pss.named_toml import names_in, read_named
from keras_pss.training.config import RunConfig
from keras_pss.training.recipe_schema import SETTINGS, schema_of

if TYPE_CHECKING:
    from keras_pss.data.pipelines.click_log import ClickLog

FOLDER = "recipes"
DATA = ("criteo", "movielens")
_TEXTS = ("title", "data", "schema", "log", "source", "notes")
_HEAD = (*_TEXTS, "prepare", "run")
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
        title: One line that says what is run.
        data: `"criteo"`, `"movielens"` or, with a schema, `"any"`.
        log: The files that it needs.
        source: The paper.
        notes: What differs from the paper, and what its numbers mean.
        prepare: Arguments of `criteo.schema`, or changes of the schema.
        run: Settings of a run.
        paper: The paper's results, to compare with.
        schema: The schema of its log, with these changes; None for the logs
            of Criteo and MovieLens.
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
    schema: Schema | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """How `keras_pss.data.locate` prepares its log."""
        if self.schema is None:
            return self.prepare
        return {"schema": self.schema.to_dict()}

    def config(self, **changes: Any) -> RunConfig:
        """The run's hyperparameters, with the user's changes."""
        return RunConfig.of(changed(self.run, changes))

    def notes_of_report(self) -> dict[str, Any]:
        """Entries of a run's report that refer to the recipe."""
        return {"recipe": self.name, "paper": self.paper}

    def check_log(self, log: "ClickLog") -> None:
        """Raises a ValueError if the recipe is for another kind of log."""
        fits = log.kind == self.data
        if self.schema is not None:
            fits = same_features(self.schema, log.schema)
        if not fits:
            raise ValueError(
                f"The recipe {self.name} is for {self.log}. Give that as "
                f"`data`, or choose another `recipe`. Received: {log.name}, "
                f"a log of kind {log.kind}"
            )


def changed(
    settings: dict[str, Any], changes: dict[str, Any]
) -> dict[str, Any]:
    """A recipe's settings with the user's changes.

    If the user changes the method or the model, the recipe's options for it
    are dropped; otherwise the user's options are merged into them.
    `min_rows` and `compress_largest` exclude each other: a user's setting of
    one removes the recipe's other.

    Args:
        settings: The recipe's settings of `RunConfig`, by name.
        changes: The user's settings. The other settings keep their values.
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
    """Names of all recipes of the package."""
    found = []
    for stem in names_in(FOLDER):
        found += [f"{stem}/{variant}" for variant in _read(stem)[1]]
    return sorted(found, key=_natural)


def load(name: str) -> Recipe:
    """A recipe by its name, `"criteo_kaggle_1000x/dcn"`, or by its file.

    Args:
        name: Name of a recipe of the package; or the path of a TOML file,
            followed by `/variant` if it has several.

    Raises:
        ValueError: If there is no such recipe or variant, or the file is not
            a valid recipe.
    """
    recipe = read(name)
    recipe.config()  # or an error
    return recipe


def read(name: str) -> Recipe:
    """A recipe as it is written; `load` checks its settings as well.

    Args, Raises: as in `load`.
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
    return Recipe(
        name=f"{stem}/{variant}",
        title=content["title"],
        data=content.get("data", "any"),
        log=content.get("log", ""),
        source=content.get("source", ""),
        notes=" ".join(content.get("notes", "").split()),
        prepare=content.get("prepare", {}),
        run={k: None if v == "none" else v for k, v in run.items()},
        paper=chosen.get("paper", {}),
        schema=_schema(stem, content),
    )


def _schema(stem: str, content: dict[str, Any]) -> Schema | None:
    if "schema" not in content:
        return None
    try:
        return schema_of(content["schema"], content.get("prepare", {}))
    except ValueError as error:
        raise ValueError(f"{stem}: {error}") from None


def _read(stem: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The common part and the variants of a recipe file."""
    content = read_named(stem, FOLDER, "recipe")
    variants = content.pop("variants", {"run": {}})
    _check(stem, content, variants)
    return content, variants


def _check(
    stem: str, content: dict[str, Any], variants: dict[str, Any]
) -> None:
    """Raises a ValueError if a key is missing, unknown or of a wrong type."""

    def wrong(rule: str, received: object) -> ValueError:
        return ValueError(f"{stem}: {rule}. Received: {received!r}")

    for name in content:
        if name not in _HEAD:
            raise wrong(f"a recipe has {', '.join(_HEAD)} and variants", name)
    for name in ("prepare", "run"):
        if not isinstance(content.get(name, {}), dict):
            raise wrong(f"[{name}] must be a table", content[name])
    for name in ("title", "schema", "log", "source", "notes"):
        if not isinstance(content.get(name, ""), str):
            raise wrong(f"`{name}` must be a string", content[name])
    if not content.get("title"):
        raise wrong("`title` must say what is run", content.get("title"))
    known: tuple[str, ...] = _PREPARE
    if "schema" in content:
        known = SETTINGS
        if "data" in content:
            raise wrong("`schema` takes the place of `data`", content["data"])
    elif content.get("data") not in DATA:
        raise wrong(
            f"`data` must be one of {', '.join(DATA)}; for other logs, name "
            "their `schema`",
            content.get("data"),
        )
    for name in content.get("prepare", {}):
        if name not in known:
            raise wrong(f"[prepare] takes {', '.join(known)}", name)
    if not isinstance(variants, dict) or not variants:
        raise wrong("`variants` must be a table of tables", variants)
    for variant, chosen in variants.items():
        if not isinstance(chosen, dict) or set(chosen) - {"run", "paper"}:
            raise wrong(f"[variants.{variant}] takes run and paper", chosen)
        for part in chosen.values():
            if not isinstance(part, dict):
                raise wrong(f"[variants.{variant}] must hold tables", part)
        for value in chosen.get("paper", {}).values():
            if not isinstance(value, int | float):
                raise wrong("a value in `paper` must be a number", value)


def _natural(name: str) -> list[Any]:
    """A sort key that puts r8 before r16."""
    return [
        (int(part), "") if part.isdigit() else (0, part)
        for part in re.split(r"(\d+)", name)
    ]
