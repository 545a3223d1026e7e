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
        ValueError: On the other workers, if the function raised any error.
    """
    text, error = "", None
    if is_chief:
        try:
            text = json.dumps([function(), None])
        except Exception as raised:  # without a word, the others would wait
            error = raised
            text = json.dumps([None, str(raised)])
    found, told = json.loads(sent(text))
    if error is not None:
        raise error
    if told is not None:
        raise ValueError(told)
    return found


def check_alike(
    mine: dict[str, Any], chief: dict[str, Any], worker: int
) -> None:
    """Raises ValueError if a worker trains something else than the chief.

    Args:
        mine: What this worker trains, by name.
        chief: What the chief trains.
        worker: Index of this worker.
    """
    for name, value in mine.items():
        if value != chief[name]:
            raise ValueError(
                "All workers must train the same model on the same batches. "
                f"Received: {name}={value} on worker {worker} and "
                f"{chief[name]} on worker 0"
            )
