"""Names of inputs as TensorFlow takes them in a signature."""

import re
from collections.abc import Sequence


def signature_names(names: Sequence[str]) -> dict[str, str]:
    """Names in a signature by the names of the inputs."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        safe = re.sub(r"\W", "_", name, flags=re.ASCII)
        if not safe[0].isalnum():
            safe = f"input{safe}"
        # TensorFlow does not distinguish upper and lower case.
        while safe.lower() in taken:
            safe = f"{safe}_1"
        taken.add(safe.lower())
        found[name] = safe
    return found
