"""Creates what replaces tables, within one budget of all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_pss.convert.asked import EACH, FITS, Asked, Created
from keras_pss.convert.choice import chosen
from keras_pss.convert.kinds.collection_tables import CollectionTables
from keras_pss.convert.kinds.kind import Kind
from keras_pss.convert.kinds.single_table import SingleTable
from keras_pss.convert.single_sizes import singles_within, takes_any_order
from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.composite.auto_tables import of_all
from keras_pss.layers.composite.twins import made_or_hashed
from keras_pss.layers.embedding.methods import method_class
from keras_pss.layers.fused.popular.ranked_counts import ranked
from keras_pss.layers.planned import choices


def created(kinds: Sequence[Kind], asked: Asked) -> list[Created]:
    """What replaces each layer, within the budget of all together.

    Each collection, and all single tables of one width, get a share of the
    budget in proportion to their sizes.

    Raises:
        InfeasibleBudget: A ValueError, if the budget is too small.
    """
    collections = [k for k in kinds if isinstance(k, CollectionTables)]
    groups: dict[int, list[SingleTable]] = {}
    for kind in kinds:
        if isinstance(kind, SingleTable):
            groups.setdefault(kind.width, []).append(kind)
    whole = sum(kind.size for kind in kinds)
    if asked.budget.parameters(whole) < 1:
        raise InfeasibleBudget(
            f"`budget` must allow a parameter at least, of {whole} now. Give "
            f"a larger budget. Received: budget={asked.budget}"
        )
    found = []
    for collection in collections:
        share = asked.budget.share(collection.size, whole)
        found.append(_collection(collection, share, asked))
    for group in groups.values():
        size = sum(kind.size for kind in group)
        share = asked.budget.share(size, whole)
        found += singles_within(group, share, asked)
    return found


def _collection(
    kind: CollectionTables, budget: Budget, asked: Asked
) -> Created:
    counts = asked.counts.get(id(kind.layer))
    method, why, options = asked.method, "", asked.options
    allowed = budget.parameters(kind.size)
    if allowed >= kind.size:
        return Created(kind, None, "full", FITS)
    if choices.is_auto(method):
        choice = chosen(
            [table.shape for table in kind.tables],
            allowed,
            counts,
            kind.layer.variable_dtype == "float32",
            kind.width is not None,
        )
        method, why, options = choice.method, choice.why, {}

    form: Budget | None = budget
    found = _ranked_rows(kind, method, options, budget, asked, counts)
    if found is not None:
        options, form = {**options, **found}, None

    def make(method: str, options: Mapping[str, Any]) -> Any:
        return kind.create(method, options, form, asked.min_rows)

    if kind.width == 1 and form is not None:
        # First-order weights: few methods have tables of one column.
        layer = made_or_hashed(make, method, options, 0, kind.name)
    else:
        layer = make(method, options)
    why = why or str(getattr(layer, "why", ""))
    return Created(kind, layer, layer.method, why)


def _ranked_rows(
    kind: CollectionTables,
    method: str,
    options: Mapping[str, Any],
    budget: Budget,
    asked: Asked,
    counts: Any,
) -> dict[str, Any] | None:
    """Options in place of a budget, where counts rank the ids of all tables.

    Small tables that stay uncompressed are part of the budget.
    """
    if counts is None or kind.width is None:
        return None
    small = [
        place
        for place, table in enumerate(kind.tables)
        if table.shape[0] < (asked.min_rows or 0)
    ]
    large = [p for p in range(len(kind.tables)) if p not in small]
    left = budget.parameters(kind.size)
    left -= sum(kind.tables[place].size for place in small)
    if left < 1 or not large:
        return None
    if small and method_class(method).sized_by != EACH:
        return None
    own = {**method_class(method).budget_options(budget), **options}
    seen: Any = [counts[place] for place in large]
    indexed: dict[int, bool] = {}
    if takes_any_order(method):
        seen, ranks = ranked(seen)
        indexed = {p: r is not None for p, r in zip(large, ranks, strict=True)}
        own["ids"] = tuple(indexed.values())
    found = method_class(method).options_to_convert(
        seen,
        kind.width,
        budget.of_size(left),
        own,
    )
    if found is not None and EACH in found:
        rows = of_all(found[EACH], large, len(kind.tables))
        found = {**found, EACH: rows}
        if any(indexed.values()):
            # The fit chooses the ids of an index by their counts.
            every = range(len(kind.tables))
            found["ids"] = tuple(indexed.get(place, False) for place in every)
    return found
