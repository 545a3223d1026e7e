"""Budgets: `"1000x"` (ratio), an int (parameters) or `"10MB"` (bytes)."""

import math
import re
from dataclasses import dataclass
from typing import Any, Self

from keras_pss.layers.base.checks import shown

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


class InfeasibleBudget(ValueError):
    """No layer of the method is as small as the budget asks."""


@dataclass(frozen=True)
class Budget:
    """How much all that a served model stores of its tables may take.

    It counts trained numbers, index tables and codes alike, in parameters:
    units of four bytes.

    Attributes:
        form: What was given, and what a config stores: `"1000x"`, the
            uncompressed tables' parameters divided by 1000; an int,
            parameters; `"10MB"`, `"64KiB"`, bytes.
        ratio: How many times smaller than the uncompressed tables, or None.
        absolute: Parameters, or None for a ratio.
    """

    form: str | int
    ratio: float | None
    absolute: int | None

    @classmethod
    def parse(cls, budget: Any) -> Self:
        """A budget from any of its forms; a `Budget` is returned as it is.

        Raises:
            ValueError: If it has none of these forms.
        """
        if isinstance(budget, cls):
            return budget
        if isinstance(budget, int) and not isinstance(budget, bool):
            if budget > 0:
                return cls(budget, None, budget)
        elif isinstance(budget, str) and (match := _FORM.fullmatch(budget)):
            value, unit = float(match[1]), match[2].upper()
            if unit == "X" and 1 <= value < math.inf:
                return cls(budget, value, None)
            if unit in _UNITS and 0 < value < math.inf:
                held = math.floor(value * _UNITS[unit])
                return cls(budget, None, held // BYTES_A_PARAMETER)
        raise ValueError(
            "`budget` must be a ratio of at least 1 ('1000x'), a positive "
            "number of parameters (50000) or bytes ('10MB', '64KiB'). "
            f"Received: budget={shown(budget)}"
        )

    def parameters(self, full: int | None) -> int:
        """The largest number of parameters that the budget allows.

        Args:
            full: Parameters of the uncompressed tables, None if one is open.

        Raises:
            ValueError: If a ratio has no uncompressed tables to refer to.
        """
        if self.absolute is not None:
            return self.absolute
        if full is None or self.ratio is None:
            raise ValueError(
                "A ratio needs the size of the uncompressed table, but "
                "`input_dim` is None. Give parameters (an int) or bytes "
                f"('10MB'). Received: budget={self}"
            )
        return math.floor(full / self.ratio)

    @property
    def is_bytes(self) -> bool:
        return isinstance(self.form, str) and self.ratio is None

    def share(self, part: int, whole: int) -> Self:
        """The budget of one group of tables among several.

        Args:
            part, whole: The group's columns, and those of all groups. A ratio
                holds for each group.
        """
        if self.absolute is None or part == whole:
            return self
        return self.parse(max(1, self.absolute * part // whole))

    def of_unfiltered(self, full: int) -> Self:
        """A ratio of other tables than those that are built, as a number."""
        if self.absolute is not None:
            return self
        return self.parse(max(1, self.parameters(full)))

    def __str__(self) -> str:
        return shown(self.form)


def units(held: int) -> int:
    """Bytes as a budget counts them: in parameters, rounded up."""
    return -(-held // BYTES_A_PARAMETER)


def feasible(smallest: int, full: int | None) -> str:
    """The smallest budget in its forms: `"500 parameters (2.8x)"`.

    Args:
        smallest: Parameters of the smallest layer.
        full: Parameters of the uncompressed table, None if it is open.
    """
    text = f"{smallest} parameters"
    if full is None or full < smallest:
        return text
    # Rounded down, or the ratio that is named would be infeasible too.
    places = max(0, 2 - int(math.log10(full / smallest)))
    digits = math.floor(full / smallest * 10**places)
    while math.floor(full / (digits / 10**places)) < smallest:
        digits -= 1
    return f"{text} ({f'{digits / 10**places:f}'.rstrip('0').rstrip('.')}x)"
