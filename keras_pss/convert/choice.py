"""Which method converts trained tables best, by the budget and the counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_pss.layers.embedding.methods import method_class

# In the order of what they lose at their sizes; see docs/convert.md.
_BITS, _FREQUENT, _LOW_RANK = "quantized", "popularity", "mixed_dimension"
_CORES, SMALLEST = "tt", "robe"
_MORE = (
    "With the counts of the ids, frequent ids would get rows of their own, "
    "which loses less: give `counts`"
)
_WIDTHS = "Rows by counts are for tables of one width"


@dataclass(frozen=True)
class ChosenMethod:
    """A method and why.

    Attributes:
        method: A method string.
        why: A sentence.
    """

    method: str
    why: str


def chosen(
    tables: Sequence[tuple[int, int]],
    allowed: int,
    counts: Any,
    floats: bool = True,
    one_width: bool = True,
) -> ChosenMethod:
    """Chooses the method that loses least without retraining.

    Args:
        tables: Rows and width of each table.
        allowed: Parameters that all of them may have together.
        counts: Counts of the ids of each table, or None.
        floats: Boolean, whether the tables are float32, which rows of a few
            bits need.
        one_width: Boolean, whether all tables have the same width.
    """
    more = "" if one_width else _WIDTHS
    if counts is None:
        more = _MORE

    def smallest(method: str) -> int:
        cls = method_class(method)
        return sum(cls.smallest_size(*table) for table in tables)

    if floats and smallest(_BITS) <= allowed:
        return ChosenMethod(
            _BITS, "rows of 16, 8 or 4 bits fit, which lose next to nothing"
        )
    together = method_class(_FREQUENT).smallest_together(
        [rows for rows, _ in tables], tables[0][1]
    )
    if counts is not None and one_width and together <= allowed:
        return ChosenMethod(
            _FREQUENT,
            "rows for the most frequent ids by their counts, which lose least "
            "at this size",
        )
    if smallest(_LOW_RANK) <= allowed:
        return ChosenMethod(
            _LOW_RANK,
            "low rank, which loses least without counts where a row of each "
            f"id fits. {more}".strip(),
        )
    if smallest(_CORES) <= allowed:
        return ChosenMethod(
            _CORES,
            "a tensor train, since the budget has no number for each id. "
            f"{more}".strip(),
        )
    return ChosenMethod(SMALLEST, "ROBE, since no other method is as small")
