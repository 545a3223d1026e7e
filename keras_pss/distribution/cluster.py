"""Reads and checks the variable TF_CONFIG, which names all workers."""

import json
import os
from dataclasses import dataclass
from typing import Any

VARIABLE = "TF_CONFIG"
EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Cluster:
    """The workers of a job.

    Attributes:
        addresses: `host:port` of each worker; the first one is the chief.
        index: Index of this worker.
    """

    addresses: tuple[str, ...]
    index: int


def read_cluster() -> Cluster:
    """The workers that TF_CONFIG names.

    Raises:
        ValueError: If TF_CONFIG is missing or wrong.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        raise _wrong("it is not set")
    try:
        config = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise _wrong(f"{text[:200]}, which is not JSON") from None
    cluster, task = _dict(config, "cluster"), _dict(config, "task")
    for kind in cluster:
        if kind not in ("worker", "chief"):
            raise _wrong(
                f"a cluster with {kind!r}; each task of the job is a worker"
            )
    kinds = [kind for kind in ("chief", "worker") if kind in cluster]
    addresses = [
        (kind, place, address)
        for kind in kinds
        for place, address in enumerate(_addresses(cluster[kind], kind))
    ]
    own = (task.get("type"), task.get("index"))
    found = [at for at, (*key, _) in enumerate(addresses) if tuple(key) == own]
    if not found or isinstance(own[1], bool):
        raise _wrong(
            f"type {own[0]!r} and index {own[1]!r} of the task, which is none "
            f"of the cluster's {len(addresses)} workers"
        )
    names = tuple(address for *_, address in addresses)
    if len(set(names)) < len(names):
        raise _wrong(f"an address twice in {', '.join(names)}")
    return Cluster(names, found[0])


def _dict(config: Any, name: str) -> dict[str, Any]:
    part = config.get(name) if isinstance(config, dict) else None
    if not isinstance(part, dict):
        raise _wrong(f"no object {name!r} in it")
    return part


def _addresses(value: Any, kind: str) -> list[str]:
    ok = isinstance(value, list) and value
    if not ok or not all(isinstance(v, str) and ":" in v for v in value):
        raise _wrong(f"{kind}={value!r}, which is no list of host:port")
    return list(value)


def _wrong(found: str) -> ValueError:
    return ValueError(
        "Training on several workers needs the environment variable "
        f"{VARIABLE} in each worker, with the addresses of all workers and "
        f"the index of this one, such as {EXAMPLE}. Received: {found}"
    )
