"""What short runs are to choose from: a few answers to the open questions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.planned.choices import AUTO, TAILS
from keras_pss.layers.planned.decide import decide

MOST = 6


@dataclass(frozen=True)
class Candidate:
    """One answer, as the method and the options of a run.

    Attributes:
        name: What it is, in a few words.
        method: `"auto"`, or a method string.
        options: Options of the method.
    """

    name: str
    method: str = AUTO
    options: Mapping[str, Any] = field(default_factory=dict)


def candidates(
    input_dims: Sequence[int | None],
    output_dim: int,
    budget: Budget,
    counts: Sequence[Any] | None,
    options: Mapping[str, Any],
    fixed: Collection[str] = (),
) -> list[Candidate]:
    """The candidates that differ, at most six; the one by counts first.

    Args:
        input_dims, output_dim, budget, counts: As in `decide`.
        options: Options of `method="auto"` by the counts and labels, and
            those that the user gave.
        fixed: Names of the latter, which no candidate changes.
    """
    first = decide(input_dims, output_dim, budget, counts, options)
    found = [Candidate("as counts say", options=options)]
    if counts is None or first.method != "popularity":
        return found
    least, width = first.min_count or 1, first.options["inner_dim"]
    tail = first.options["tail"]
    others = [
        *(
            Candidate(f"tail={other}", options={**options, "tail": other})
            for other in TAILS
            if other != tail
        ),
        Candidate("ROBE alone", "robe"),
        Candidate(
            "rows for rarer ids, half the count",
            options={**options, "min_count": max(1, round(least / 2))},
        ),
        Candidate(
            "rows for fewer ids, twice the count",
            options={**options, "min_count": 2 * least},
        ),
    ]
    if isinstance(width, int) and 2 * width <= output_dim:
        wider = {**options, "inner_dim": 2 * width}
        others.append(Candidate("fewer, wider rows", options=wider))
    seen = [(first.method, first.options)]
    for each in others:
        if len(found) == MOST:
            break
        if any(each.options.get(name) != options[name] for name in fixed):
            continue
        if each.method != AUTO:
            found.append(each)
            continue
        try:
            one = decide(input_dims, output_dim, budget, counts, each.options)
        except InfeasibleBudget:
            continue
        if one.method == "popularity" and (one.method, one.options) not in seen:
            seen.append((one.method, one.options))
            found.append(each)
    return found
