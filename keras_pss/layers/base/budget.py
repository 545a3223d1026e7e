"""Budgets: `"1000x"` (ratio), an int (parameters) or `"10MB"` (bytes)."""

import math
import re

Budget = str | int

_UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)
BYTES_A_PARAMETER = 4
LARGEST = 2**62  # parameters; a table that no budget but a ratio depends on


def counts_bytes(budget: Budget) -> bool:
    """Whether a valid budget is in bytes, which index tables count in."""
    match = _FORM.fullmatch(budget) if isinstance(budget, str) else None
    return match is not None and match[2].upper() in _UNITS


def parameters(budget: Budget, full: int | None) -> int:
    """Largest number of parameters that a budget allows.

    Args:
        budget: `"1000x"`: the table's parameters divided by 1000; an int:
            parameters; `"10MB"`, `"64KiB"`: bytes of float32.
        full: Parameters of the uncompressed table, None if it is open.

    Raises:
        ValueError: If the budget is not of one of these forms.
    """
    if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0:
        return budget
    match = _FORM.fullmatch(budget) if isinstance(budget, str) else None
    value, unit = (float(match[1]), match[2].upper()) if match else (0.0, "")
    if unit == "X" and value >= 1:
        if full is None:
            raise ValueError(
                "A ratio needs the size of the uncompressed table, but "
                "`input_dim` is None. Give parameters (an int) or bytes "
                f"('10MB'). Received: budget={budget!r}"
            )
        return math.floor(full / value)
    if unit in _UNITS and value > 0:
        return math.floor(value * _UNITS[unit]) // BYTES_A_PARAMETER
    raise ValueError(
        "`budget` must be a ratio of at least 1 ('1000x'), a positive number "
        "of parameters (50000) or bytes ('10MB', '64KiB'). "
        f"Received: budget={budget!r}"
    )


def share(budget: Budget | None, part: int, whole: int) -> Budget | None:
    """The budget of one group of tables among several.

    Args:
        budget: Of all groups; a ratio holds for each of them, and None is
            none.
        part, whole: The group's columns, and those of all groups.
    """
    if budget is None or part == whole:
        return budget
    allowed = parameters(budget, LARGEST)
    if isinstance(budget, int):
        return max(1, allowed * part // whole)
    if counts_bytes(budget):
        held = allowed * BYTES_A_PARAMETER * part // whole
        return f"{max(BYTES_A_PARAMETER, held)}B"
    return budget
