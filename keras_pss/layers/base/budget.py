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
    """The budget is below the size of the method's smallest layer."""


@dataclass(frozen=True)
class Budget:
    """An upper bound on the memory that tables take in a served model.

    A budget counts trained parameters, index tables and codes alike. Its unit
    is a parameter, which is four bytes.

    Attributes:
        form: The budget as the user gave it and as configs store it:
            `"1000x"` for a thousandth of the uncompressed tables' parameters,
            an int for a number of parameters, or `"10MB"` or `"64KiB"` for a
            number of bytes.
        ratio: Float, the compression ratio; None for an absolute budget.
        absolute: Integer, the number of parameters; None for a ratio.
    """

    form: str | int
    ratio: float | None
    absolute: int | None

    @classmethod
    def parse(cls, budget: Any) -> Self:
        """Parses a budget in any of its forms; returns a `Budget` unchanged.

        Raises:
            ValueError: If `budget` has none of these forms.
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
            full: Parameters of the uncompressed tables; None if one of them
                has an open vocabulary.

        Raises:
            ValueError: If the budget is a ratio and `full` is None.
        """
        if self.absolute is not None:
            return self.absolute
        if full is None or self.ratio is None:
            raise ValueError(
                "A budget that is a ratio needs the size of the uncompressed "
                "table, but `input_dim` is None. Give a number of parameters "
                f"(an int) or of bytes ('10MB'). Received: budget={self}"
            )
        return math.floor(full / self.ratio)

    @property
    def is_bytes(self) -> bool:
        return isinstance(self.form, str) and self.ratio is None

    def share(self, part: int, whole: int) -> Self:
        """The budget of one group of tables among several.

        Args:
            part: Total width of the group's tables.
            whole: Total width of the tables of all groups. A ratio applies
                to each group unchanged.
        """
        if self.absolute is None or part == whole:
            return self
        return self.of_size(max(1, self.absolute * part // whole))

    def of_size(self, size: int) -> Self:
        """An absolute budget of a number of parameters.

        Bytes remain bytes, which may buy other rows than parameters do.
        """
        return self.parse(
            f"{size * BYTES_A_PARAMETER}B" if self.is_bytes else size
        )

    def of_unfiltered(self, full: int) -> Self:
        """Converts a ratio to parameters, relative to the unfiltered tables.

        Args:
            full: Parameters of the uncompressed tables before a
                `FrequencyFilter` makes them smaller.
        """
        if self.absolute is not None:
            return self
        return self.parse(max(1, self.parameters(full)))

    def __str__(self) -> str:
        return shown(self.form)


def units(held: int) -> int:
    """Converts bytes to parameters, rounded up."""
    return -(-held // BYTES_A_PARAMETER)


def feasible(smallest: int, full: int | None) -> str:
    """Text for the smallest feasible budget: `"500 parameters (2.8x)"`.

    Args:
        smallest: Parameters of the smallest layer.
        full: Parameters of the uncompressed table; None for an open
            vocabulary.
    """
    text = f"{smallest} parameters"
    if full is None or full < smallest:
        return text
    # Round down: a ratio that is rounded up would be infeasible itself.
    places = max(0, 2 - int(math.log10(full / smallest)))
    digits = math.floor(full / smallest * 10**places)
    while math.floor(full / (digits / 10**places)) < smallest:
        digits -= 1
    return f"{text} ({f'{digits / 10**places:f}'.rstrip('0').rstrip('.')}x)"
