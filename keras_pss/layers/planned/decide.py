"""Decides what tables become within a budget, by their sizes and counts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.fused.popular.frequent_ids import frequent_rows
from keras_pss.layers.fused.popular.popular_ids import MIN_COUNT, popular_ids
from keras_pss.layers.planned.worth import break_even_of

# Where ids tell little on their own, rows have this share of the columns, since
# products of narrower rows tell little as well,
_WIDE = 1 / 4
# if this share of the ids that deserve a row still has one.
_LEAST_KEPT = 1 / 8


@dataclass(frozen=True)
class Decision:
    """What tables become.

    Attributes:
        method: A method string.
        options: Arguments of the method, as in `EmbeddingCollection`.
        budget: The budget that the method divides; None if the options set
            the size.
        why: One sentence, or several.
        kept: For each table the number of ids with a row of their own, id 0
            included; None if the method does not distinguish ids.
        deserve: For each table the number of those that occur often enough;
            None without counts.
        min_count: The smallest count of these ids; None without counts.
        sure: Whether counts decide. Otherwise short runs may find something
            better.
    """

    method: str
    options: dict[str, Any]
    budget: Any
    why: str
    kept: tuple[int, ...] | None = None
    deserve: tuple[int, ...] | None = None
    min_count: int | None = None
    sure: bool = True


def decide(
    input_dims: Sequence[int | None],
    output_dim: int,
    budget: Budget | str | int,
    counts: Sequence[Any] | None = None,
    choices: Mapping[str, Any] | None = None,
) -> Decision:
    """Chooses a method and its options for tables of one width.

    First how many ids deserve a row, then the width that the budget allows,
    twice of it for the first ids where this leaves enough, then fewer ids;
    then what the rare ids share. Where ids tell little on
    their own, a quarter of the columns comes before the number of ids.

    Args:
        input_dims: Rows of each table; None for an open vocabulary.
        output_dim: Integer d, the columns of all tables.
        budget: Budget of all tables together.
        counts: For each table the number of occurrences of each id, in
            descending order from id 1 on. Default: None, unknown.
        choices: Checked options of `method="auto"`; see choices.py.

    Returns:
        A decision that never exceeds the budget. If there is none within it,
        building the tables raises `InfeasibleBudget`.

    Raises:
        ValueError: If the ids of a table are not sorted by frequency, or a
            ratio is the budget of open vocabularies.
    """
    given = {k: v for k, v in (choices or {}).items() if v is not None}
    seed = {"seed": given["seed"]} if "seed" in given else {}
    parsed = Budget.parse(budget)
    known = [rows for rows in input_dims if rows is not None]
    whole = None
    if len(known) == len(input_dims):
        whole = sum(known) * output_dim
    allowed = parsed.parameters(whole)
    if whole is not None and whole <= allowed:
        return Decision(
            "full",
            {},
            parsed.form,
            f"The uncompressed tables of {whole:,} parameters fit into the "
            f"budget of {allowed:,}",
            kept=tuple(known),
        )
    if whole is None or counts is None:
        lack = "no counts are known" if whole else "a vocabulary is open"
        return Decision(
            "robe",
            seed,
            parsed.form,
            f"ROBE, since {lack}: all ids share one memory",
            sure=whole is None,
        )
    check_lengths(known, counts)
    return _by_counts(known, output_dim, parsed, counts, given, seed)


def _by_counts(
    input_dims: list[int],
    output_dim: int,
    budget: Budget,
    counts: Sequence[Any],
    given: dict[str, Any],
    seed: dict[str, Any],
) -> Decision:
    min_count = given.get("min_count", MIN_COUNT)
    silent = given.get("silent", False)
    inner_dim = given.get("inner_dim")
    if inner_dim is not None:
        inner_dim = min(inner_dim, output_dim)
    deserve = tuple(
        frequent_rows(place, each, min_count)
        for place, each in enumerate(counts)
    )

    def rows(tail: str, width: int | None = inner_dim) -> dict[str, Any]:
        found = popular_ids(
            counts, output_dim, budget, min_count, width, tail=tail
        )
        return {**found, "tail": tail, **seed}

    tail = given.get("tail", "oov")
    reason = "as asked"
    try:
        options = rows(tail)
        if "tail" not in given:
            tail, reason = _tail(counts, options["num_rows"], min_count, silent)
            if tail != "oov":
                options = rows(tail)
        if silent and inner_dim is None:
            options = _widened(
                options,
                int(_WIDE * output_dim),
                sum(deserve),
                partial(rows, tail),
            )
    except InfeasibleBudget:
        return Decision(
            "robe",
            seed,
            budget.form,
            "ROBE, since the budget has no room for "
            f"{_smallest(tail, inner_dim)} in each of {len(input_dims)} tables",
            deserve=deserve,
            min_count=min_count,
        )
    kept = tuple(int(np.sum(each)) for each in options["num_rows"])
    return Decision(
        "popularity",
        options,
        None,
        _explained(kept, deserve, min_count, options, output_dim)
        + f". The other ids share {SHARED[tail]}: {reason}",
        kept,
        deserve,
        min_count,
        sure="tail" in given or not silent,
    )


def _widened(
    options: dict[str, Any],
    widest: int,
    deserve: int,
    rows: Callable[[int], dict[str, Any]],
) -> dict[str, Any]:
    """Fewer rows that are wide enough for products, if enough are left."""
    for width in range(widest, _width(options), -1):
        try:
            wider = rows(width)
        except InfeasibleBudget:
            continue
        if sum(map(np.sum, wider["num_rows"])) >= _LEAST_KEPT * deserve:
            return wider
    return options


def _width(options: Mapping[str, Any]) -> int:
    """The width of the widest rows."""
    return int(np.max(options["inner_dim"]))


def _smallest(tail: str, inner_dim: int | None) -> str:
    """The smallest rows that were asked for."""
    numbers = "one number" if inner_dim in (None, 1) else f"{inner_dim} numbers"
    shared = "" if tail == "oov" else f"{SHARED[tail]} and "
    return f"{shared}a row of {numbers}"


SHARED = {
    "oov": "one row in each table",
    "hash": "hashed rows",
    "robe": "a ROBE memory",
}


def _explained(
    kept: tuple[int, ...],
    deserve: tuple[int, ...],
    min_count: int,
    options: Mapping[str, Any],
    output_dim: int,
) -> str:
    have, worth, width = sum(kept), sum(deserve), _width(options)
    text = f"{worth:,} ids occur {min_count} times or more and deserve a row"
    if have < worth:
        return (
            f"{text}; the budget has rows of {width} "
            f"{'number' if width == 1 else 'numbers'} for the {have:,} most "
            "frequent of them"
        )
    if isinstance(options["inner_dim"], tuple):
        first = sum(rows[0] for rows in options["num_rows"])
        return (
            f"{text}; the budget allows {width} of {output_dim} numbers for "
            f"the {first:,} most frequent of them and "
            f"{min(options['inner_dim'])} for the others"
        )
    if width < output_dim:
        return f"{text}; the budget allows {width} of {output_dim} numbers each"
    return f"{text} of the whole width"


def _tail(
    counts: Sequence[Any],
    num_rows: Sequence[Any],
    min_count: int,
    silent: bool,
) -> tuple[str, str]:
    """What the ids without a row share, and why."""
    occurrences = ids = 0
    for each, rows in zip(counts, num_rows, strict=True):
        rest = np.asarray(each)[int(np.sum(rows)) :]
        occurrences += int(rest.sum(dtype=np.int64))
        ids += len(rest)
    mean, needed = occurrences / max(1, ids), break_even_of(min_count, silent)
    text = (
        f"they occur {mean:.3g} times on average, where {needed:.3g} would "
        "pay for rows"
    )
    if mean >= needed:
        return "robe", text
    if silent:
        return "robe", (
            "ids tell little on their own, so what they mean lies in "
            "products, which counts do not show"
        )
    return "oov", text


def check_lengths(dims: Sequence[int], counts: Sequence[Any]) -> None:
    """Raises a ValueError unless counts have a number for each id."""
    lengths = [int(np.size(each)) for each in counts]
    if lengths != list(dims):
        raise ValueError(
            "`counts` must have one array for each table, with one number for "
            "each of its ids. Count the ids of these tables. "
            f"Received: counts of {lengths} ids for tables of {list(dims)}"
        )
