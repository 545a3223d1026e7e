"""The compiled model of a run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from types import SimpleNamespace
from typing import Any

import keras

from keras_pss.layers import EmbeddingCollection
from keras_pss.layers.base.budget import Budget
from keras_pss.layers.base.walk import every
from keras_pss.layers.composite.frequency_filter import FrequencyFilter
from keras_pss.layers.composite.twins import made_or_hashed, of_width
from keras_pss.layers.embedding.methods import takes_seed
from keras_pss.models.by_name import MODELS
from keras_pss.training.build_optimizer import build_optimizer
from keras_pss.training.config import RunConfig

# Rows that the frequency filter keeps, by column or by the name of a table.
Limits = Sequence[int] | dict[str, int]


def build_model(
    config: RunConfig,
    cardinalities: Sequence[int | None],
    num_dense: int = 13,
    limits: Limits | None = None,
    steps: int | None = None,
    log: Any = None,
    counts: Sequence[Any] | None = None,
    choices: Mapping[str, Any] | None = None,
) -> keras.Model:
    """The compiled model of a run, initialized from the run's seed.

    Args:
        config: The run's hyperparameters.
        cardinalities: Number of ids of each categorical column; None for an
            open vocabulary.
        num_dense: Number of dense features.
        limits: Number of ids of each column that the frequency filter keeps;
            with `log`, those of each table by name. Default: None, no filter.
        steps: Number of steps in all epochs. A decay without `decay_steps`
            ends there.
        log: A log whose features have tables by name, with its `schema` and
            `tables`. Default: None, a table for each column.
        counts: Counts of the ids of each column or, with `log`, each table,
            for methods that depend on them. Default: None, unknown.
        choices: Options of `method="auto"` that the log determines, which
            those of the config override. Default: None, nothing.

    Raises:
        ValueError: If no feature has ids, or the model does not fit the log.
    """
    if not (cardinalities if log is None else log.tables):
        raise ValueError(
            "`data` must have at least one feature with ids, for which there "
            "are embeddings. Give the schema a categorical feature, or one of "
            "its dense features transform = 'buckets' and `num_buckets`. "
            f"Received: a log with {num_dense} dense features alone"
        )
    keras.utils.set_random_seed(config.seed)
    with dtype_policy(config.precision):
        tables = embedding_parts(
            config, cardinalities, limits, log, counts, choices
        )
        try:
            model = MODELS[config.model](
                **tables, num_dense=num_dense, **config.model_options
            )
        except ValueError as error:
            if num_dense:
                raise
            raise ValueError(
                f"model={config.model!r} does not fit a log without dense "
                "features, such as MovieLens' ratings. Choose another "
                f"`model`, such as neuralcf. Received: {error}"
            ) from error
    model.compile(
        optimizer=build_optimizer(config, model, steps),
        loss="binary_crossentropy",
        jit_compile=config.jit_compile,
    )
    return model


def embedding_parts(
    config: RunConfig,
    cardinalities: Sequence[int | None],
    limits: Limits | None = None,
    log: Any = None,
    counts: Sequence[Any] | None = None,
    choices: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The embedding layers of the run's model, by argument name.

    Raises:
        ValueError: If the method has no size within the budget.
    """
    wanted = signature(MODELS[config.model]).parameters
    widths = {"embeddings": config.dim, "wide": 1, "mlp_embeddings": config.dim}
    widths = {name: width for name, width in widths.items() if name in wanted}
    parts = {}
    if choices:
        merged = {**choices, **config.options}
        config = config.model_copy(update={"options": merged})
    whole = None if config.budget is None else Budget.parse(config.budget)
    for place, (name, width) in enumerate(widths.items()):
        budget = None
        if whole is not None:
            budget = whole.share(width, sum(widths.values()))
        part = _collection(
            config, cardinalities, limits, name, budget, place, log, counts
        )
        if limits is not None:
            # A filter implies known cardinalities.
            rows: Any = [n or 0 for n in cardinalities]
            if log is not None:
                rows = dict(log.tables)
            part = FrequencyFilter(part, rows, name=f"{name}_filter")
        parts[name] = part
    return parts


def _collection(
    config: RunConfig,
    cardinalities: Sequence[int | None],
    limits: Limits | None,
    name: str,
    budget: Budget | None,
    place: int,
    log: Any,
    counts: Any,
) -> EmbeddingCollection:
    width = 1 if name == "wide" else config.dim
    before = cardinalities if log is None else list(log.tables.values())
    kept = before
    if isinstance(limits, dict):
        kept = list(limits.values())
        log = SimpleNamespace(schema=log.schema, tables=limits)
    elif limits is not None:
        kept = limits
    method, options = config.method, dict(config.options)
    if limits is not None and budget is not None:
        rows = sum(n for n in before if n is not None)
        budget = budget.of_unfiltered(rows * width)
    if takes_seed(method, options):
        options.setdefault("seed", config.seed + place)
    given = {
        "min_rows": _min_rows(config, kept),
        "embeddings_initializer": _initializer(config, place),
        "embeddings_regularizer": (
            keras.regularizers.L2(config.embedding_l2)
            if config.embedding_l2
            else None
        ),
        "name": name,
    }

    if counts is not None:
        counts = [c[:n] for c, n in zip(counts, kept, strict=True)]
        if log is not None:
            counts = dict(zip(log.tables, counts, strict=True))

    def made(method: str, options: dict[str, Any]) -> EmbeddingCollection:
        arguments = {"options": options, "counts": counts, **given}
        if log is not None:
            return EmbeddingCollection.for_log(
                log, width, method, budget, **arguments
            )
        return EmbeddingCollection(kept, width, method, budget, **arguments)

    if width == config.dim:
        return made(method, options)
    if budget is None:
        raise ValueError(
            f"`options` set the size of tables of {config.dim} columns, but "
            f"model={config.model!r} has first-order tables of one column as "
            f"well. Give a budget. Received: options={config.options!r}"
        )
    options = of_width(method, options, width, config.dim)
    return made_or_hashed(made, method, options, config.seed + place, name)


def methods_of(model: keras.Model) -> dict[str, dict[str, str]]:
    """The method of each part of a model, and why it was replaced, if so."""
    found = {}
    for layer in every(model, EmbeddingCollection):
        why = getattr(layer, "why", None)
        reason = {} if why is None else {"why": why}
        found[layer.name] = {"method": layer.method, **reason}
    return found


def _initializer(config: RunConfig, place: int) -> Any:
    """The initializer of the tables at this position among the parts."""
    scale, seed = config.embedding_scale, config.seed + 1_000_003 * place
    if isinstance(scale, str):  # a variance of 1 / (3 rows)
        return keras.initializers.VarianceScaling(
            1 / 3, "fan_in", "uniform", seed=seed
        )
    return keras.initializers.RandomUniform(-scale, scale, seed=seed)


def _min_rows(
    config: RunConfig, cardinalities: Sequence[int | None]
) -> int | None:
    if config.compress_largest is None:
        return config.min_rows
    count = config.compress_largest
    known = sorted((n for n in cardinalities if n is not None), reverse=True)
    if len(known) < count:
        raise ValueError(
            "`compress_largest` must be at most the number of tables with a "
            f"known size, {len(known)}. Received: compress_largest={count}"
        )
    if len(known) > count and known[count] == known[count - 1]:
        raise ValueError(
            f"`compress_largest` cannot choose among tables of {known[count]} "
            "rows each. Choose a larger or smaller number, or set `min_rows`. "
            f"Received: compress_largest={count}"
        )
    return known[count - 1]


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Sets Keras' dtype policy for the block, then restores the old one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def free_models() -> None:
    """Frees what Keras holds of models, and keeps the user's dtype policy."""
    before = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(before)
