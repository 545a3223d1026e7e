"""Which libraries are loaded: one's own, where nobody else can write."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from native_cache import cache, stored

import keras_pss
from keras_pss.native import build, dispatch, library

# What is loaded does not depend on the backend.
pytestmark = [
    pytest.mark.tf_only,
    pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX rights"),
]
__all__ = ["cache"]


def give_away(path, monkeypatch):
    """Makes a file or folder another user's, as far as can be told."""
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)


def test_a_library_of_ones_own_is_loaded(cache):
    where = library.place("jax", "1.2.3")
    file = stored(where)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert library.find("jax", "1.2.3") == file


@pytest.mark.parametrize("whose", ["library", "manifest", "folder", "cache"])
def test_one_of_another_user_is_refused(cache, monkeypatch, whose):
    where = library.place("jax", "1.2.3")
    file = stored(where)
    give_away(
        {
            "library": file,
            "manifest": where.folder / library.MANIFEST,
            "folder": where.folder,
            "cache": cache,
        }[whose],
        monkeypatch,
    )
    with pytest.warns(library.NativeWarning, match="belongs to another user"):
        assert library.find("jax", "1.2.3") is None


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
@pytest.mark.parametrize("whose", ["library", "manifest", "folder", "cache"])
def test_one_that_others_can_write_is_refused(cache, whose, mode):
    where = library.place("jax", "1.2.3")
    file = stored(where)
    path = {
        "library": file,
        "manifest": where.folder / library.MANIFEST,
        "folder": where.folder,
        "cache": cache,
    }[whose]
    path.chmod(mode)
    with pytest.warns(library.NativeWarning, match="can be written by.*go-w"):
        assert library.find("jax", "1.2.3") is None


def test_a_folder_above_the_cache_must_not_be_everyones(tmp_path, monkeypatch):
    above = tmp_path / "above"
    monkeypatch.setenv("KERAS_PSS_CACHE", str(above / "cache"))
    library.place.cache_clear()
    file = stored(library.place("jax", "1.2.3"))
    above.chmod(0o777)
    with pytest.warns(library.NativeWarning, match=r"above can be written"):
        assert library.find("jax", "1.2.3") is None
    above.chmod(0o1777)  # sticky, as /tmp is
    assert library.find("jax", "1.2.3") == file
    library.place.cache_clear()


def test_a_link_is_followed_to_what_it_names(cache, tmp_path_factory):
    where = library.place("jax", "1.2.3")
    open_folder = tmp_path_factory.mktemp("open")
    stored(where._replace(folder=open_folder / "library"))
    open_folder.chmod(0o777)
    where.folder.symlink_to(open_folder / "library")
    with pytest.warns(library.NativeWarning, match="can be written by"):
        assert library.find("jax", "1.2.3") is None


def test_nothing_is_built_where_it_would_not_be_loaded(cache, monkeypatch):
    monkeypatch.setattr(
        build, "_describe", lambda name: {"version": "1", "options": {}}
    )
    monkeypatch.setattr(build, "_compiler", lambda: "a compiler")
    cache.chmod(0o777)
    with pytest.raises(build.BuildError, match=r"would not be loaded.*go-w"):
        build.build("jax")
    monkeypatch.setenv("KERAS_PSS_CACHE", str(cache / "file" / "cache"))
    (cache / "file").write_text("no folder")
    library.place.cache_clear()
    with pytest.raises(build.BuildError, match=r"Set KERAS_PSS_CACHE to"):
        build.build("jax")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("home", RuntimeError("Could not determine home directory.")),
        ("stat", PermissionError(13, "Permission denied")),
    ],
)
def test_lookups_go_on_where_the_cache_cannot_be_looked_at(
    monkeypatch, name, error
):
    def fail(*args, **kwargs):
        raise error

    for variable in ("KERAS_PSS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    layer = keras_pss.ROBEEmbedding(100, 4, memory_size=50)
    wanted = layer.materialize([3, 99])
    library.place.cache_clear()
    dispatch._loaded.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, fail)
            with pytest.warns(library.NativeWarning) as told:
                rows = layer(np.array([3, 99]))
            assert not keras_pss.native.available()
        np.testing.assert_array_equal(rows, wanted)
        assert len(told) == 1
        assert "KERAS_PSS_CACHE to a readable folder" in str(told[0].message)
    finally:
        library.place.cache_clear()
        dispatch._loaded.cache_clear()
