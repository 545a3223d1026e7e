"""What all workers learn from the chief."""

import json
from collections.abc import Callable
from typing import Any


def from_chief(
    function: Callable[[], Any], is_chief: bool, sent: Callable[[str], str]
) -> Any:
    """Calls a function on the chief, and returns its result on all workers.

    Args:
        function: See `Replicas.on_chief`.
        is_chief: Whether this worker is the chief.
        sent: Function of a text that returns the chief's text.

    Raises:
        ValueError: If the function raised one, or an OSError, on the chief.
    """
    found, error = None, None
    if is_chief:
        try:
            found = function()
        except (ValueError, OSError) as raised:
            error = raised
    told = None if error is None else str(error)
    text = json.dumps([found, told]) if is_chief else ""
    received, told = json.loads(sent(text))
    if error is not None:
        raise error
    if told is not None:
        raise ValueError(told)
    return found if is_chief else received
