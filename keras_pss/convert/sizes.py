"""Creates what replaces tables, within one budget of all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_pss.convert.asked import EACH, FITS, STAYS, Asked, Created
from keras_pss.convert.choice import SMALLEST, chosen
from keras_pss.convert.kinds.collection_tables import CollectionTables
from keras_pss.convert.kinds.kind import Kind
from keras_pss.convert.kinds.single_table import SingleTable
from keras_pss.convert.single_sizes import singles_within, takes_any_order
from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.composite.allocation import FULL_SHARE, divide
from keras_pss.layers.composite.auto_tables import of_all
from keras_pss.layers.composite.twins import made_or_hashed
from keras_pss.layers.embedding.methods import checked_options, method_class
from keras_pss.layers.fused.popular.ranked_counts import ranked
from keras_pss.layers.planned import choices


def created(kinds: Sequence[Kind], asked: Asked) -> list[Created]:
    """What replaces each layer, within the budget of all together.

    Each collection, and all single tables of one width, get a share of the
    budget in proportion to their sizes, but no less than the method needs.
    Widths whose tables are small stay.

    Raises:
        InfeasibleBudget: A ValueError, if the budget is too small.
    """
    groups: dict[Any, list[Any]] = {}
    for kind in kinds:
        place = kind.width if isinstance(kind, SingleTable) else id(kind)
        groups.setdefault(place, []).append(kind)
    whole = _size(kinds)
    allowed = asked.budget.parameters(whole)
    small = _small(list(groups.values()), allowed, asked.min_rows)
    kept = sum(map(_size, small))
    if allowed <= kept:
        raise InfeasibleBudget(
            "`budget` must allow a parameter at least, in place of "
            f"{whole - kept}, besides {kept} of tables below `min_rows`. Give "
            "a larger budget. "
            f"Received: budget={asked.budget}, which allows {allowed}"
        )
    found = [Created(kind, None, "full", STAYS) for x in small for kind in x]
    others = [part for part in groups.values() if part not in small]
    left = asked.budget.of_size(allowed - kept) if small else asked.budget
    for part, share in zip(others, _shares(others, left, asked), strict=True):
        if isinstance(part[0], CollectionTables):
            found.append(_collection(part[0], share, asked))
        else:
            found += singles_within(part, share, asked)
    return found


def _small(
    groups: list[list[Any]], allowed: int, min_rows: int | None
) -> list[list[Any]]:
    """The widths of which all tables stay, if there are others as well.

    Among tables of one width, and within a collection, the same rule chooses.
    """
    found: list[list[Any]] = []
    limit = FULL_SHARE * allowed
    if len(groups) < 2 or sum(map(_size, groups)) <= allowed:
        return found
    for group in sorted(groups, key=_size):
        if isinstance(group[0], CollectionTables):
            continue
        stays = sum(map(_size, found)) + _size(group) <= limit
        if min_rows is not None:
            stays = all(kind.rows < min_rows for kind in group)
        if stays:
            found.append(group)
    return found


def _shares(
    groups: list[list[Any]], budget: Budget, asked: Asked
) -> list[Budget]:
    """The budget of each group."""
    sizes = [_size(group) for group in groups]
    shares = [budget.share(size, sum(sizes)) for size in sizes]
    total = budget.parameters(sum(sizes))
    method, options = asked.method, asked.options
    if choices.is_auto(method):
        method, options = SMALLEST, {}
    checked_options(method, options)
    cls = method_class(method)
    least = [
        sum(
            min(table.size, cls.smallest_size(*table.shape, **options))
            for kind in group
            for table in kind.tables
        )
        for group in groups
    ]
    short = any(
        share.parameters(size) < one
        for share, size, one in zip(shares, sizes, least, strict=True)
    )
    if short and len(groups) > 1 and sum(least) <= total:
        divided = divide(total, sizes, least)
        return [asked.budget.of_size(size) for size in divided]
    return shares


def _size(kinds: Sequence[Kind]) -> int:
    return sum(kind.size for kind in kinds)


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
