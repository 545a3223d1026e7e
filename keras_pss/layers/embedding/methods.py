"""Creates an embedding layer from the name of its method and a budget."""

import logging
from collections.abc import Mapping
from typing import Any

from keras_pss.layers.base.budget import Budget
from keras_pss.layers.base.checks import one_of, shown
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.composite.hot_rows import HotRows
from keras_pss.layers.embedding.clustered_embedding import ClusteredEmbedding
from keras_pss.layers.embedding.deep_hash_embedding import DeepHashEmbedding
from keras_pss.layers.embedding.fpd_embedding import FPDEmbedding
from keras_pss.layers.embedding.full_embedding import FullEmbedding
from keras_pss.layers.embedding.hashed_embedding import HashedEmbedding
from keras_pss.layers.embedding.memcom_embedding import MEMComEmbedding
from keras_pss.layers.embedding.mixed_dimension_embedding import (
    MixedDimensionEmbedding,
)
from keras_pss.layers.embedding.popularity_embedding import (
    PopularityEmbedding,
)
from keras_pss.layers.embedding.qr_embedding import QREmbedding
from keras_pss.layers.embedding.quantized_embedding import QuantizedEmbedding
from keras_pss.layers.embedding.robe_embedding import ROBEEmbedding
from keras_pss.layers.embedding.sketch_embedding import SketchEmbedding
from keras_pss.layers.embedding.tensor_ring_embedding import TensorRingEmbedding
from keras_pss.layers.embedding.tt_embedding import TTEmbedding
from keras_pss.layers.planned import choices
from keras_pss.layers.planned.decide import check_lengths, decide

_logger = logging.getLogger("keras_pss")

# Method strings of `embedding`, `EmbeddingCollection` and the command line.
METHODS: dict[str, type[CompressedEmbedding]] = {
    "full": FullEmbedding,
    "robe": ROBEEmbedding,
    "tt": TTEmbedding,
    "qr": QREmbedding,
    "hash": HashedEmbedding,
    "fpd": FPDEmbedding,
    "memcom": MEMComEmbedding,
    "mixed_dimension": MixedDimensionEmbedding,
    "tensor_ring": TensorRingEmbedding,
    "sketch": SketchEmbedding,
    "quantized": QuantizedEmbedding,
    "deep_hash": DeepHashEmbedding,
    "clustered": ClusteredEmbedding,
    "popularity": PopularityEmbedding,
    "hot_rows": HotRows,
}
# The classes that `keras_pss.layers` and `keras_pss` export, by name.
EXPORTS = {cls.__name__: cls for cls in METHODS.values()}


def method_class(method: str) -> type[CompressedEmbedding]:
    """The layer class of a method string.

    Raises:
        ValueError: If the method is unknown; the message lists all methods.
    """
    return METHODS[one_of("method", method, METHODS)]


def checked_options(
    method: str, options: Mapping[str, Any], sized: bool = False
) -> dict[str, Any]:
    """Checks the options of a collection, which are arguments of the method.

    Args:
        method: A method string, or `"auto"`.
        options: Dict of arguments.
        sized: Boolean, whether the options instead of a budget determine the
            size of each table.

    Raises:
        ValueError: If the method has no such argument, and if the argument
            that determines the size is missing or conflicts with the budget.
    """
    if choices.is_auto(method):
        return choices.checked(options, sized)
    cls = method_class(method)
    if not isinstance(options, Mapping):
        raise ValueError(
            "`options` must be a dict of arguments of the layer, such as "
            f"{{'seed': 1}}. Received: options={shown(options)}"
        )
    size = cls.size_name(options)
    # These make no sense for the tables of a collection.
    given = {"memory", "table", "output_scale", "weights"}
    if not sized:
        given.add(size)
    elif size and size not in options:
        raise ValueError(
            f"Without a budget, `options` of method={method!r} must give the "
            f"size of a table: `{size}`. Add it, or give a budget. "
            f"Received: options={shown(dict(options))}"
        )
    known = [n for n in cls.option_names(options) if n not in given]
    for name in options:
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise ValueError(
                f"The allowed `options` of method={method!r} are: {allowed}. "
                f"Received: {name}={shown(options[name])}"
            )
    return dict(options)


def takes_seed(method: str, options: Mapping[str, Any]) -> bool:
    """Whether a method, or `"auto"`, has an option `seed`."""
    if choices.is_auto(method):
        return "seed" in choices.NAMES
    return "seed" in method_class(method).option_names(options)


def embedding(
    input_dim: int | None,
    output_dim: int,
    method: str = "robe",
    budget: Budget | str | int = "1000x",
    counts: Any = None,
    **kwargs: Any,
) -> CompressedEmbedding:
    """Creates an embedding layer of any method within a budget.

    Args:
        input_dim: Integer n, the number of ids; None for an open vocabulary,
            if the method supports one.
        output_dim: Integer d, the length of a row.
        method: `"full"`, `"robe"`, `"tt"`, `"qr"`, `"hash"`, `"fpd"`,
            `"memcom"`, `"mixed_dimension"`, `"tensor_ring"`, `"sketch"`,
            `"quantized"`, `"deep_hash"`, `"clustered"`, `"popularity"` or
            `"hot_rows"`. The last takes the method of its embedding as
            `inner`, which defaults to `"tt"`. Or `"auto"`, which chooses by
            the budget and `counts`, and logs why. Defaults to `"robe"`.
        budget: Upper bound on everything that the served layer stores, index
            tables included: a ratio such as `"1000x"` (the default, a
            thousandth of the table's parameters), an int (parameters, four
            bytes each) or a string such as `"10MB"`. `"full"` ignores it. If
            the uncompressed table fits into the budget, the function returns
            a `FullEmbedding` and logs a warning.
        counts: Number of occurrences of each id, in descending order from id
            1 on, for `"auto"` and `"popularity"`. Defaults to None, unknown.
        **kwargs: Further arguments of the layer; of `"auto"`, `min_count`,
            `inner_dim` and `tail` as well.

    Returns:
        The largest layer of the method within the budget.

    Raises:
        ValueError: For invalid arguments; and `InfeasibleBudget`, a subclass,
            if the budget is below the method's smallest layer, whose size the
            message states.

    Example:

    ```python
    layer = keras_pss.embedding(1_000_000, 32, method="robe", budget="100x")
    layer.memory_size  # 320000
    ```
    """
    found: Mapping[str, Any] = {}
    if choices.is_auto(method):
        method, found = _choice(input_dim, output_dim, budget, counts, kwargs)
    cls = method_class(method)
    # Check before any arithmetic: "mean" * 2147483647 would take 8 GB.
    cls.check_shape(input_dim, output_dim)
    budget = Budget.parse(budget)
    if counts is not None and not found:
        if input_dim is not None:
            check_lengths([input_dim], [counts])
        found = (
            cls.options_from_counts([counts], output_dim, budget, kwargs) or {}
        )
    if cls.sized_by in found:
        (size,) = found[cls.sized_by]  # of the only table
        sized = {**kwargs, **found, cls.sized_by: size}
        return cls.sized(input_dim, output_dim, **sized)
    kwargs |= found
    if cls is FullEmbedding:
        return FullEmbedding(input_dim, output_dim, **kwargs)
    full = None if input_dim is None else input_dim * output_dim
    if full is not None and full <= budget.parameters(full):
        _logger.warning(
            "The table of %d x %d fits into budget=%s uncompressed: "
            "FullEmbedding instead of %s.",
            input_dim,
            output_dim,
            budget,
            cls.__name__,
        )
        # The uncompressed table has none of the method's own arguments.
        own = cls.option_names(kwargs)
        common = {k: v for k, v in kwargs.items() if k not in own}
        return FullEmbedding(input_dim, output_dim, **common)
    return cls.from_budget(input_dim, output_dim, budget, **kwargs)


def _choice(
    input_dim: int | None,
    output_dim: int,
    budget: Budget | str | int,
    counts: Any,
    kwargs: dict[str, Any],
) -> tuple[str, Mapping[str, Any]]:
    """The method of a single table, and its options; pops those of auto."""
    # Each method checks the shape alike.
    ROBEEmbedding.check_shape(input_dim, output_dim)
    own = {name: kwargs.pop(name) for name in choices.NAMES if name in kwargs}
    each = None if counts is None else [counts]
    made = decide([input_dim], output_dim, budget, each, choices.checked(own))
    _logger.info("method='auto' is %r: %s", made.method, made.why)
    return made.method, made.options
