"""Divides the budget of a collection among its tables."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from keras_pss.layers.base.budget import Budget, InfeasibleBudget, feasible
from keras_pss.layers.base.checks import LARGEST_DIM

if TYPE_CHECKING:
    from keras_pss.layers.base.compressed_embedding import CompressedEmbedding

# By default the smallest tables stay uncompressed, as long as together they
# take no more than this share of the budget.
FULL_SHARE = 0.25


@dataclass(frozen=True)
class TableSpec:
    """A table of a collection, with the method that may compress it.

    Attributes:
        rows: Integer, or None for an open vocabulary.
        width: Integer, the number of columns.
        method: A method string.
        options: Dict of further arguments of the method's layer.
    """

    rows: int | None
    width: int
    method: str
    options: Mapping[str, Any]

    @property
    def cls(self) -> "type[CompressedEmbedding]":
        # A plan divides budgets without the layers of the methods.
        from keras_pss.layers.embedding.methods import method_class

        return method_class(self.method)

    @property
    def size(self) -> int:
        """Parameters of the uncompressed table; the most for an open one."""
        return (LARGEST_DIM if self.rows is None else self.rows) * self.width

    def smallest(self) -> int:
        return self.cls.smallest_size(self.rows, self.width, **self.options)

    def index_size(self) -> int:
        return self.cls.index_size(self.rows, self.width, **self.options)

    @property
    def divided_by_method(self) -> bool:
        """Whether the method divides one size among tables of this kind."""
        return self.cls.divides_size(self.options)

    @property
    def shares_memory(self) -> bool:
        """Whether tables of this kind share one memory."""
        return self.cls.shares_memory(self.options)

    def shares_with(self, other: Self) -> bool:
        """Whether one size is that of both tables if they are compressed."""
        return (self.shares_memory or self.divided_by_method) and (
            (self.method, self.width) == (other.method, other.width)
            and dict(self.options) == dict(other.options)
        )


@dataclass(frozen=True)
class Allocation:
    """The tables that stay uncompressed, and the sizes of the others.

    Attributes:
        full: Indices of the uncompressed tables, ascending.
        units: Indices of the other tables: for each memory the tables that
            share it, and each further table alone.
        sizes: Largest size of each unit, in units of four bytes. Empty if the
            arguments of the methods determine the sizes.
    """

    full: tuple[int, ...]
    units: tuple[tuple[int, ...], ...] = ()
    sizes: tuple[int, ...] = ()

    @property
    def compressed(self) -> tuple[int, ...]:
        """Indices of the compressed tables, ascending."""
        return tuple(sorted(table for unit in self.units for table in unit))


def allocate(
    tables: Sequence[TableSpec],
    budget: Budget | None,
    min_rows: int | None,
    count_index: bool = True,
) -> Allocation:
    """Divides a budget among tables without ever exceeding it.

    Args:
        tables: The tables, of one width and method or of several.
        budget: Budget of all tables together; None if the options of the
            tables determine their sizes, as in papers that state a rank.
        min_rows: Tables with fewer rows stay uncompressed. If it is None, the
            smallest tables do, up to `FULL_SHARE` of the budget. Tables whose
            method does not compress are always uncompressed.
        count_index: Boolean, whether index tables count if the budget is a
            ratio or a number of parameters. False reproduces the allocation
            of collections that were saved before index tables counted.

    Raises:
        InfeasibleBudget: A ValueError, if the budget is too small. The message
            states the smallest feasible budget.
    """
    everything = tuple(range(len(tables)))
    fixed = {t for t in everything if not tables[t].cls.compresses}
    if len(fixed) == len(tables):
        return Allocation(everything)
    if budget is None:
        full = fixed | {t for t in everything if _below(tables[t], min_rows)}
        return Allocation(tuple(sorted(full)), _units(tables, full))
    whole = None
    if all(table.rows is not None for table in tables):
        whole = sum(table.size for table in tables)
    allowed = budget.parameters(whole)
    if whole is not None and whole <= allowed:
        return Allocation(everything)

    def uncounted(table: int) -> int:
        """Size of the index tables that the budget does not count."""
        return 0 if count_index else tables[table].index_size()

    def smallest(unit: Sequence[int]) -> int:
        first = tables[unit[0]]
        together = first.cls.smallest_together(
            [tables[t].rows for t in unit], first.width, **first.options
        )
        return together - uncounted(unit[0])

    def choice(share: float) -> tuple[set[int], int, list[int]]:
        """The full tables, their size, and the least sizes of the units."""
        full = set(fixed)
        spent = sum(tables[t].size for t in full)
        limit = spent + share * (allowed - spent)
        for table in sorted(everything, key=lambda t: tables[t].size):
            if table in full:
                continue
            size = tables[table].size
            if min_rows is None:
                ruled = tables[table].divided_by_method
                stays = not ruled and spent + size <= limit
            else:
                stays = _below(tables[table], min_rows)
            if stays or smallest([table]) >= size:
                full.add(table)
                spent += size
        return full, spent, [smallest(unit) for unit in _units(tables, full)]

    full, spent, least = choice(FULL_SHARE)
    if min_rows is None and spent + sum(least) > allowed:
        # Full tables leave too little for the others, so compress them all.
        full, spent, least = choice(0)
    if spent + sum(least) > allowed:
        fix = "" if min_rows is None else "a smaller `min_rows`, "
        methods = dict.fromkeys(repr(table.method) for table in tables)
        raise InfeasibleBudget(
            f"method={', '.join(methods)} needs a budget of at least "
            f"{feasible(spent + sum(least), whole)} for these {len(tables)} "
            f"tables, {spent} of them for {len(full)} uncompressed ones. Give "
            f"a larger budget, {fix}or another method. "
            f"Received: budget={budget}, which allows {allowed}"
        )
    units = _units(tables, full)
    sizes = [allowed - spent]
    if len(units) != 1 or not tables[units[0][0]].shares_memory:
        weights = [sum(tables[t].size for t in unit) for unit in units]
        sizes = divide(allowed - spent, weights, least)
    held = tuple(
        min(size, LARGEST_DIM)
        if tables[unit[0]].shares_memory
        else size + uncounted(unit[0])
        for size, unit in zip(sizes, units, strict=True)
    )
    return Allocation(tuple(sorted(full)), units, held)


def _below(table: TableSpec, min_rows: int | None) -> bool:
    return table.rows is not None and table.rows < (min_rows or 0)


def _units(
    tables: Sequence[TableSpec], full: Collection[int]
) -> tuple[tuple[int, ...], ...]:
    """The tables that are not full, those of one memory together."""
    units: list[list[int]] = []
    for table, spec in enumerate(tables):
        if table in full:
            continue
        for unit in units:
            if spec.shares_with(tables[unit[0]]):
                unit.append(table)
                break
        else:
            units.append([table])
    return tuple(map(tuple, units))


def divide(
    total: int, weights: Sequence[int], least: Sequence[int]
) -> list[int]:
    """Divides a total in proportion to weights, with a least size for each.

    A part whose share is below its least size gets the least size; the rest is
    divided among the other parts in the same way. The sum of the least sizes
    must not exceed the total.
    """
    sizes = list(least)
    open_parts = set(range(len(weights)))
    while open_parts:
        left = total - sum(
            size for part, size in enumerate(sizes) if part not in open_parts
        )
        scale = left / sum(weights[part] for part in open_parts)
        short = {p for p in open_parts if weights[p] * scale < least[p]}
        if not short:
            for part in open_parts:
                sizes[part] = max(least[part], int(weights[part] * scale))
            break
        open_parts -= short
    return sizes
