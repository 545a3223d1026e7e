"""Separate tables for the ids that another collection reads."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.base.checks import LARGEST_DIM
from keras_pss.layers.embedding.methods import method_class
from keras_pss.layers.fused.popular.popularity_group import PopularityGroup
from keras_pss.layers.initial_values import table_scale
from keras_pss.layers.planned.choices import is_auto

_logger = logging.getLogger("keras_pss")
Made = TypeVar("Made")
# Added to the seed of an initializer, beyond what the tables of a collection
# add to it.
_SEEDS_APART = 1_000_003


def twin(collection: Any, output_dim: int | None, name: str) -> Any:
    """See `EmbeddingCollection.twin`."""
    width = collection.output_dim if output_dim is None else output_dim
    specs = collection.specs()
    config = {
        **collection.get_config(),
        "name": name,
        "output_dim": width,
        "embeddings_initializer": table_scale.with_seed_offset(
            collection.embeddings_initializer, _SEEDS_APART
        ),
    }
    config.pop("kept_ids", None)
    options = reseeded(collection.method, collection.options)
    narrow = None
    if output_dim is not None:
        narrow = _narrow(collection, specs, options, output_dim)
        if narrow is None:
            config["budget"] = _budget(collection, specs, output_dim)

    def made(method: str, options: dict[str, Any]) -> Any:
        own = {"method": method, "options": options}
        tables = config["input_dims"]
        if isinstance(tables, Mapping):
            own["input_dims"] = {
                key: _table(table, output_dim, method, collection.method)
                for key, table in tables.items()
            }
        found = type(collection)(**{**config, **own})
        pairs = zip(collection.parts(), found.parts(), strict=False)
        for part, other in pairs:
            # A config has no ids.
            if isinstance(part, PopularityGroup) and type(other) is type(part):
                other.keep_ids(part.kept_ids())
        return found

    if output_dim is None or narrow is not None:
        return made(collection.method, narrow or options)
    seed = options.get("seed", 1)
    options = of_width(
        collection.method, options, output_dim, collection.output_dim
    )
    return made_or_hashed(made, collection.method, options, seed, name)


def made_or_hashed(
    make: Callable[[str, dict[str, Any]], Made],
    method: str,
    options: Mapping[str, Any],
    seed: int,
    name: str,
) -> Made:
    """First-order tables, hashed if the method has none within the budget.

    Low rank and products cannot be smaller than a single column. Such tables
    are hashed, with a warning.

    Args:
        make: Function of a method string and its options.
        method, options: What to try first.
        seed: Seed of the hash function.
        name: Name of the tables in the warning.

    Returns:
        What `make` returns; where it is hashed instead, its attribute `why`
        is the reason.
    """
    try:
        return make(method, dict(options))
    except InfeasibleBudget as error:
        found = make("hash", {"seed": seed})
        found.why = str(error)  # type: ignore[attr-defined]
        _logger.warning(
            "The tables of %r are hashed instead of method=%r: %s",
            name,
            method,
            error,
        )
        return found


def of_width(
    method: str, options: Mapping[str, Any], width: int, before: int
) -> dict[str, Any]:
    """Options within a budget, such as a length of rows, for another width.

    Args:
        method, options: Those of tables of `before` columns.
        width: Columns of the other tables.
        before: Integer, see `options`.
    """
    found = None
    if not is_auto(method):  # it bounds the width itself
        found = method_class(method).options_of_width(options, width, before)
    return dict(options) if found is None else found


def reseeded(method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with another seed, so that other ids collide."""
    options = dict(options)
    if "seed" in method_class(method).option_names(options):
        options["seed"] = options.get("seed", 0) + 1
    return options


def _table(
    table: Mapping[str, Any], width: int | None, method: str, before: str
) -> dict[str, Any]:
    """The arguments of a table of a twin."""
    own = dict(table)
    if width is not None:
        own["output_dim"] = None
    compresses = own["method"] is None or method_class(own["method"]).compresses
    if method != before and compresses:
        return {**own, "method": None, "options": None}
    if own["options"] is not None:
        own["options"] = reseeded(own["method"] or method, own["options"])
    return own


def _narrow(
    collection: Any, specs: Any, options: Mapping[str, Any], width: int
) -> dict[str, Any] | None:
    """Options for tables of another width, where they set the size."""
    if collection.budget is not None or any(
        spec.method != collection.method
        or dict(spec.options) != dict(collection.options)
        for spec in specs
    ):
        return None
    return method_class(collection.method).options_of_width(
        options, width, collection.output_dim
    )


def _budget(collection: Any, specs: Any, width: int) -> Budget | None:
    if collection.budget is not None:
        rows = sum(
            LARGEST_DIM if spec.rows is None else spec.rows for spec in specs
        )
        whole = sum(spec.size for spec in specs)
        return Budget.parse(collection.budget).share(rows * width, whole)
    if any(spec.cls.compresses and spec.width != width for spec in specs):
        raise ValueError(
            f"`options` set the size of tables of {collection.output_dim} "
            f"columns, so none is known for separate tables of {width}. Give "
            "`embeddings` a budget, or pass these tables, such as `wide`. "
            f"Received: options={dict(collection.options)!r}"
        )
    return None
