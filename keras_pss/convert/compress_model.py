"""Replaces the embedding tables of a trained model by compressed ones.

The file is long because it documents and checks the arguments.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_pss.convert.asked import Asked, Created
from keras_pss.convert.batches import metrics_of
from keras_pss.convert.kinds.kind import Kind, described
from keras_pss.convert.report import CompressionReport
from keras_pss.convert.sizes import created
from keras_pss.convert.surgery import rebuilt
from keras_pss.convert.survey import FoundLayer, plain, survey
from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.base.checks import non_negative_int, shown
from keras_pss.layers.embedding.methods import method_class
from keras_pss.layers.planned import choices


def compress_model(
    model: keras.Model,
    method: str = "auto",
    budget: Budget | str | int = "10x",
    min_rows: int | None = None,
    layers: Sequence[str] | None = None,
    counts: Any = None,
    options: Mapping[str, Any] | None = None,
    data: Any = None,
    progress: Any = False,
) -> tuple[keras.Model, CompressionReport]:
    """Creates a model in which compressed layers replace the trained tables.

    It replaces `keras.layers.Embedding`, the uncompressed tables of this
    package (`FullEmbedding`, also in bags, and collections, such as those of
    `keras_pss.models`) and keras-rs' `EmbedReduce`, in Functional and
    Sequential models at any depth. Each new layer is fitted to the table that
    it replaces (`fit_table`); all other weights, and the optimizer's state for
    them, are copied. The given model does not change.

    Args:
        model: A built Functional or Sequential model.
        method: A method string of `keras_pss.embedding`, or `"auto"` (the
            default), which takes rows of few bits as long as they fit, then
            rows of the most frequent ids if `counts` are given, and low rank
            or a tensor train if not.
        budget: Upper bound on everything that all replaced tables store
            together when they are served: a ratio such as `"10x"` (the
            default), an int (parameters, four bytes each) or a string such as
            `"10MB"`. Small tables that stay are part of it.
        min_rows: Integer; tables with fewer rows stay as they are. By default
            the smallest tables do, up to a quarter of the budget.
        layers: Names of the layers to replace. Defaults to None, all that can
            be.
        counts: Number of occurrences of each id in the training data, which
            decide what rare ids share. A dict by the names of the layers; or,
            if a single layer is replaced, what belongs to it: an array of one
            number for each id, and for a collection a list of such arrays or
            a dict by the names of its tables. Defaults to None, unknown.
        options: Dict of arguments of the method's layer, such as
            `{"block_size": 8}`. Defaults to none.
        data: What to score both models with: a dataset, a list of batches, or
            arrays `(x, y)` or `(x, y, sample_weight)` for `model.evaluate`,
            which needs a compiled model; or a function of a model that returns
            a dict of metrics. Defaults to None, nothing.
        progress: Boolean, whether to show bars of the fits; or a function, as
            in `fit_table`. Defaults to False.

    Returns:
        `(new, report)`: the new model, of the same class, and a
        `CompressionReport`: print it. The model is compiled if the given one
        is.

    Raises:
        ValueError: If nothing can be replaced, a name in `layers` is unknown
            or its layer cannot be replaced, `counts` do not match the tables,
            or the model cannot be copied, such as one written as a class; and
            `InfeasibleBudget`, a subclass, if the budget is too small.

    Example:

    ```python
    ids = keras.Input((3,), dtype="int32")
    rows = keras.layers.Embedding(10_000, 16)(ids)
    x = keras.layers.Flatten()(rows)
    model = keras.Model(ids, keras.layers.Dense(1, "sigmoid")(x))
    small, report = keras_pss.compress_model(model, "robe", "100x")
    small.count_params()  # 1649
    report.compression  # 100.0
    ```
    """
    asked = _checked(method, budget, min_rows, options)
    score = _scorer(model, data)
    found = survey(model)
    wanted = _selected(model, found, layers)
    notes = plain(model)
    kinds = [each.kind for each in wanted if each.kind is not None]
    asked = Asked(
        asked.method,
        asked.budget,
        asked.min_rows,
        asked.options,
        _counts(kinds, counts, {each.layer.name for each in found}),
    )
    made = _created(kinds, asked, found)
    replaced = [each for each in made if each.layer is not None]
    if not replaced:
        whole = sum(kind.size for kind in kinds)
        raise ValueError(
            f"All tables fit into the budget as they are: {whole} parameters. "
            f"Give a smaller budget. Received: budget={asked.budget}, which "
            f"allows {asked.budget.parameters(whole)}"
        )
    before = {} if score is None else score(model)
    for each in replaced:
        own = asked.counts.get(id(each.kind.layer))
        each.kind.fit(each.layer, own, progress)
        each.layer.trainable = each.kind.layer.trainable
    new = rebuilt(model, {id(e.kind.layer): e.layer for e in replaced})
    report = _report(found, made, asked, notes)
    if score is not None:
        report = report.with_metrics(before, score(new))
    return new, report


def _created(
    kinds: Sequence[Kind], asked: Asked, found: Sequence[FoundLayer]
) -> list[Created]:
    """What replaces the layers; an error tells of those that are left."""
    try:
        return created(kinds, asked)
    except InfeasibleBudget as error:
        left = [f"'{x.layer.name}': {x.why}" for x in found if x.kind is None]
        if not left:
            raise
        raise InfeasibleBudget(
            f"Without the layers that cannot be replaced ({'; '.join(left)}): "
            f"{error}"
        ) from error


def _checked(
    method: str, budget: Any, min_rows: int | None, options: Any
) -> Asked:
    """The arguments on methods and sizes, without counts."""
    if not choices.is_auto(method) and not method_class(method).compresses:
        raise ValueError(
            "`method` must compress. Choose another one, or 'auto'. "
            f"Received: method={method!r}"
        )
    if choices.is_auto(method) and options:
        raise ValueError(
            "`options` are those of a method. Name a `method`, or leave "
            f"`options` out. Received: options={shown(options)}"
        )
    if min_rows is not None:
        non_negative_int("min_rows", min_rows)
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(
            "`options` must be a dict of arguments of the layer, such as "
            f"{{'seed': 1}}. Received: options={shown(options)}"
        )
    return Asked(method, Budget.parse(budget), min_rows, options or {}, {})


def _scorer(model: Any, data: Any) -> Callable[[Any], dict[str, float]] | None:
    """What scores a model, if there is data."""
    if data is None:
        return None
    if callable(data) and not hasattr(data, "__iter__"):
        return lambda given: _metrics(data(given))
    if not getattr(model, "compiled", False):
        raise ValueError(
            "`data` needs a compiled model, whose loss and metrics score it. "
            "Compile the model, or give a function of a model that returns a "
            f"dict of metrics. Received: data={shown(data)}"
        )

    return lambda given: metrics_of(given, data, "data")


def _metrics(found: Any) -> dict[str, float]:
    """What a function of the user returned."""
    if not isinstance(found, Mapping):
        raise ValueError(
            "`data` must return a dict of metrics if it is a function. "
            f"Received: {shown(found)} from it"
        )
    return {str(name): float(value) for name, value in found.items()}


def _selected(
    model: Any, found: Sequence[FoundLayer], layers: Sequence[str] | None
) -> list[FoundLayer]:
    """The layers that are to be replaced."""
    if layers is None:
        wanted = [each for each in found if each.kind is not None]
        if not wanted:
            reasons = [f"'{each.layer.name}': {each.why}" for each in found]
            raise ValueError(
                "`model` must have an uncompressed embedding layer that can "
                f"be replaced. Received: model={model.name} with "
                f"{'; '.join(reasons) or 'no embedding layer'}"
            )
        return wanted
    listed = isinstance(layers, Sequence) and not isinstance(layers, str)
    if not listed or not layers:
        raise ValueError(
            "`layers` must be a list of names of layers, or None for all. "
            f"Received: layers={shown(layers)}"
        )
    wanted = []
    for name in dict.fromkeys(layers):
        own = [each for each in found if each.layer.name == name]
        if not own:
            names = ", ".join(repr(each.layer.name) for each in found)
            raise ValueError(
                "`layers` must name embedding layers of the model: "
                f"{names or 'it has none'}. Received: {name!r}"
            )
        for each in own:
            if each.kind is None:
                raise ValueError(
                    f"Layer '{name}' cannot be replaced: {each.why}. Leave it "
                    f"out of `layers`. Received: layers={list(layers)}"
                )
        wanted += own
    return wanted


def _counts(
    kinds: Sequence[Kind], counts: Any, known: set[str]
) -> dict[int, list[np.ndarray]]:
    """Checked counts of the tables of each layer, by the layer's `id`.

    Args:
        kinds: The layers that are replaced.
        counts: What the user gave.
        known: Names of all embedding layers.
    """
    if counts is None:
        return {}
    names = [kind.name for kind in kinds]
    by_layer = isinstance(counts, Mapping) and set(counts) <= known
    if not by_layer:
        if len(kinds) > 1:
            raise ValueError(
                "`counts` must be a dict with the counts of each layer by its "
                f"name: {', '.join(map(repr, names))}. "
                f"Received: counts={described(counts)}"
            )
        return {id(kinds[0].layer): kinds[0].counts_of(counts)}
    return {
        id(kind.layer): kind.counts_of(counts[kind.name])
        for kind in kinds
        if counts.get(kind.name) is not None
    }


def _report(
    found: Sequence[FoundLayer],
    made: Sequence[Created],
    asked: Asked,
    notes: Sequence[str],
) -> CompressionReport:
    by_layer = {id(each.kind.layer): each for each in made}
    rows, why = [], {}
    before = after = 0
    for each in found:
        own = by_layer.get(id(each.layer))
        if own is None:
            if each.kind is not None:
                rows += each.kind.left("not asked for")
            else:
                why[each.layer.name] = f"left, since {each.why}"
            continue
        before += own.kind.size
        if own.layer is None:
            rows += own.kind.left(own.why)
            after += own.kind.size
            continue
        counts = asked.counts.get(id(each.layer))
        rows += own.kind.converted(own.layer, own.method, counts)
        after += _served(own.layer)
        if own.why:
            why[each.layer.name] = own.why
    return CompressionReport(tuple(rows), before, after, why, tuple(notes))


def _served(layer: Any) -> int:
    """Size of a layer as a budget counts it."""
    return int(getattr(layer, "embedding", layer).budget_size())
