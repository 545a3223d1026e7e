"""Refuses exports that cannot hold a model exactly."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

SAVED_MODEL = "tf_saved_model"
FORMATS = (SAVED_MODEL, "litert", "onnx", "openvino")
TOLERANCE = 1e-5  # of probabilities


def compared(
    format: str, what: str, found: np.ndarray, wanted: np.ndarray
) -> float:
    """The largest difference of probabilities.

    Args:
        format: The format.
        what: The signature or the form of the request, for the error.
        found: Probabilities of the export, (batch,).
        wanted: Those of Keras, (batch,).

    Raises:
        ValueError: If it is too large.
    """
    missing = np.isnan(found) != np.isnan(wanted)
    difference = np.where(np.isnan(found), 0, np.abs(found - wanted))
    wrong = missing | (difference > TOLERANCE)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise _refused(
            format,
            f"in {what}, {wrong.sum()} of {wrong.size} probabilities differ "
            f"from Keras', the first {found[first]:.6f} instead of "
            f"{wanted[first]:.6f}, so its runtime or its converter computes an "
            "operation in another way",
        )
    return float(difference.max())


@contextmanager
def refusing(format: str) -> Iterator[None]:
    """Names the format where its converter or its runtime fails.

    A full disk or missing memory says nothing of the format, and is raised as
    it is.
    """
    try:
        yield
    except (MemoryError, OSError):
        raise
    except ImportError as error:
        raise ValueError(
            f"`format` {format} needs packages that cannot be imported: "
            f"{error}. Install them again with `pip install "
            f"'keras-pss[export]'`. Received: format={format!r}"
        ) from error
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise _refused(format, lines[0][:300]) from error


def _refused(format: str, reason: str) -> ValueError:
    others = [name for name in FORMATS if name != format]
    return ValueError(
        f"`format` {format} cannot hold this model exactly: {reason}. "
        f"Nothing was written. Try another format: {', '.join(others)}. "
        f"Received: format={format!r}"
    )
