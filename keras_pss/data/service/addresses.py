"""Addresses of input servers."""

import re
import socket
from collections.abc import Sequence

EXAMPLE = "grpc://host0:5050,grpc://host1:5050"
_ADDRESS = re.compile(r"(?:grpc://)?([^\s:/,]+|\[[0-9a-fA-F:]+\]):(\d{1,5})")


def parse_addresses(service: str | Sequence[str]) -> tuple[str, ...]:
    """The addresses `host:port` of input servers.

    Args:
        service: Addresses `grpc://host:port`: a list, or a string with commas.
            The prefix `grpc://` may be left out.

    Raises:
        ValueError: If there is none, one is wrong, or one is there twice.
    """
    listed = service.split(",") if isinstance(service, str) else list(service)
    found = []
    for text in listed:
        match = _ADDRESS.fullmatch(str(text).strip())
        if match is None or not 0 < int(match[2]) < 1 << 16:
            raise _wrong(str(text))
        found.append(f"{match[1]}:{int(match[2])}")
    if not found:
        raise _wrong("none")
    for address in found:
        if found.count(address) > 1:
            raise _wrong(f"grpc://{address} twice")
    return tuple(found)


def answers(address: str, timeout: float = 5.0) -> bool:
    """Whether something accepts connections at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout):
            return True
    except OSError:
        return False


def _wrong(received: str) -> ValueError:
    return ValueError(
        "`data_service` must be the addresses of input servers, each once, "
        f"such as {EXAMPLE}. Received: {received}"
    )
