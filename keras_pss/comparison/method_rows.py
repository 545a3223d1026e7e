"""The rows of a comparison's report, and the settings that they stand for."""

import json
import re
from typing import Any

from keras_pss.layers.embedding.methods import METHODS

# Settings by name of a report's row, in the report's order; a row that is added
# here is in every comparison that does not choose its methods. The first four
# are in every report.
METHOD_ROWS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "filter": {"method": "full", "min_count": 10},
    "low_rank": {"method": "mixed_dimension"},
    "hash": {"method": "hash"},
    "qr": {"method": "qr"},
    "tt": {"method": "tt"},
    "fpd": {"method": "fpd"},
    "robe": {"method": "robe"},
    "robe_fold": {"method": "robe", "options": {"mapping": "fold"}},
    "clustered": {"method": "clustered"},
    "popularity": {"method": "popularity"},
    "md_alpha": {"method": "mixed_dimension", "options": {"alpha": 0.3}},
    "adaptive": {
        "method": "hot_rows",
        "options": {"inner": "hash", "counts": "slots"},
    },
    "adaptive_robe": {
        "method": "hot_rows",
        "options": {"inner": "robe", "counts": "slots"},
    },
    "auto": {"method": "auto"},
}
BASELINES = ("full", "filter", "low_rank", "hash")
DEFAULT_METHODS = tuple(METHOD_ROWS)
# The row that all others are compared with.
FULL = "full"
# Rows with one size, which no budget changes.
ONE_SIZE = (FULL, "filter")
# Rows that are trained first, so that a first picture exists within minutes.
FIRST = (FULL, "hash", "robe", "popularity", "auto")

_FORM = re.compile(r"(\w+)(?:\[(.*)\])?")


def method_settings(row: str) -> dict[str, Any]:
    """The settings of a run that belong to a row of the report.

    Raises:
        ValueError: If it is neither a row nor a method.
    """
    if row in METHOD_ROWS:
        return METHOD_ROWS[row]
    match = _FORM.fullmatch(row)
    if match is None or match[1] not in {*METHODS, *METHOD_ROWS}:
        known = ", ".join(dict.fromkeys((*METHOD_ROWS, *METHODS)))
        raise ValueError(
            f"`methods` must be among {known}, or have options, such as "
            f"robe[block_size=4]. Received: {row!r}"
        )
    base = METHOD_ROWS.get(match[1], {"method": match[1]})
    options = dict(base.get("options", {}))
    for pair in (match[2] or "").split(","):
        name, equals, text = pair.partition("=")
        if not equals:
            if pair:
                raise ValueError(
                    "An option of a method must be name=value. "
                    f"Received: {pair!r} in {row!r}"
                )
            continue
        options[name.strip()] = value_of(text.strip())
    return {**base, "options": options}


def value_of(text: str) -> Any:
    """The value of a JSON text; the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
