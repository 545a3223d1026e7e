"""The state of an optimizer, taken over by that of a copied model."""

from collections.abc import Sequence
from typing import Any

from keras_pss.optimizers.slots import slots_of


def carry(old: Any, new: Any, variables: Sequence[tuple[Any, Any]]) -> None:
    """Copies the slots of the variables that were copied, and the step.

    The slots of other variables keep their initial values.

    Args:
        old, new: Optimizers of the same class, or None. Only a built one has
            a state.
        variables: Pairs of a variable that `old` trains and its copy.
    """
    if old is None or new is None or not old.built:
        return
    scalars = {v.path: v for v in old.variables if not tuple(v.shape)}
    for variable in new.variables:
        if not tuple(variable.shape) and variable.path in scalars:
            variable.assign(scalars[variable.path])
    inner = _inner(old), _inner(new)
    for before, after in variables:
        slots = zip(
            slots_of(inner[0], before), slots_of(inner[1], after), strict=True
        )
        for slot, copy in slots:
            copy.assign(slot)


def _inner(optimizer: Any) -> Any:
    """The optimizer within one that scales the loss."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer
