"""Dtype policies of the parts that a layer creates, in its config.

`model.quantize` packs the parts one by one, and with `filters` only some of
them. A copy must be built with the policy of each part.
"""

from collections.abc import Sequence
from typing import Any

import keras


def policies_of(layer: Any) -> dict[str, Any]:
    """The entries of a config that give the policies of a layer's parts.

    Returns:
        `"dtype"`, the policy of all parts. If they differ, `"dtype"` is the
        layer's own policy and `"part_dtypes"` lists those of the parts.
    """
    policies = [
        keras.dtype_policies.serialize(part.dtype_policy)
        for part in _at_any_depth(layer)
    ]
    if all(policy == policies[0] for policy in policies):
        return {"dtype": policies[0]}
    own = keras.dtype_policies.serialize(layer.dtype_policy)
    return {"dtype": own, "part_dtypes": policies}


def set_part_policies(layer: Any, policies: Sequence[Any] | None) -> None:
    """Sets `"part_dtypes"` of a config in a layer that is not built."""
    if policies is not None:
        parts = _at_any_depth(layer)
        for part, policy in zip(parts, policies, strict=True):
            part.dtype_policy = policy


def _at_any_depth(layer: Any) -> list[Any]:
    """The parts of a layer and their parts, in the order of the config."""
    return [
        found
        for part in layer.parts()
        for found in (part, *_at_any_depth(part))
    ]
