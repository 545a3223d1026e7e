"""Software versions and hardware, for reports and benchmarks."""

import importlib.metadata
import os
import platform

import keras

from keras_pss.version import __version__

_PACKAGES = (
    *("keras", "tensorflow", "tensorflow-cpu"),
    *("jax", "jaxlib", "torch", "numpy"),
)


def versions() -> dict[str, str]:
    """Versions of what affects results, and the `backend` of Keras."""
    found = {
        "keras_pss": __version__,
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
    }
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str | int]:
    """Processor model and number of cores, without the host name."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line for line in lines if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    except OSError:
        pass  # This is not Linux: keep the name above.
    return {"cpu": model, "cores": os.cpu_count() or 1}
