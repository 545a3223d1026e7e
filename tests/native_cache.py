"""A cache of kernels of its own, and libraries that were never built."""

import json

import pytest

from keras_pss.native import library


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_PSS_CACHE", str(tmp_path))
    library.place.cache_clear()
    yield tmp_path
    library.place.cache_clear()


def stored(where, **changes):
    """A library and its manifest, as if they had been built."""
    where.folder.mkdir(parents=True)
    file = where.folder / library.FILE
    file.write_bytes(b"a library")
    manifest = {
        "framework": where.framework,
        "version": where.version,
        "sources": where.sources,
        "sha256": library.checksum(file),
    }
    (where.folder / library.MANIFEST).write_text(json.dumps(manifest | changes))
    return file
