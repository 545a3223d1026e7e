"""Memory that a process keeps is not mapped anew."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from keras_pss.training import allocator

pytestmark = pytest.mark.tf_only

SCRIPT = """
import ctypes, resource, sys
sys.path.insert(0, {folder!r})
from allocator import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
faults = []
for _ in range(10):
    array = libc.malloc({size})
    ctypes.memset(array + {size} - (1 << 20), 1, 1 << 20)
    libc.free(array)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[0])
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="only glibc's allocator has settings",
)
@pytest.mark.parametrize("size", [100 << 20, 9 << 28])
def test_freed_memory_is_used_again(size):
    folder = str(Path(allocator.__file__).parent)

    def faults(keep):
        script = SCRIPT.format(folder=folder, keep=keep, size=size)
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    assert faults(keep=True) < 10
    assert faults(keep=False) >= 9  # each time, of whatever size pages are


def test_other_systems_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert allocator.keep_freed_memory() is False


def test_other_libraries_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert allocator.keep_freed_memory() is False
