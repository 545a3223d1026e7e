"""Where libraries are looked for, built and refused."""

import ctypes
import re
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
from native_cache import cache, stored

from keras_pss.native import build, library

# What is built does not depend on the backend.
pytestmark = pytest.mark.tf_only

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "custom_ops"

needs_compiler = pytest.mark.skipif(
    not (shutil.which("g++") and shutil.which("cmake")),
    reason="needs g++ and cmake",
)


__all__ = ["cache"]


def test_a_library_is_found_where_it_belongs(cache):
    where = library.place("jax", "1.2.3")
    assert library.find("jax", "1.2.3") is None
    file = stored(where)
    assert file.is_relative_to(cache)
    assert library.find("jax", "1.2.3") == file


def test_one_for_another_version_is_told_and_not_taken(cache):
    stored(library.place("jax", "1.2.3"))
    with pytest.warns(library.NativeWarning, match=r"for jax 1.2.3.*build-ops"):
        assert library.find("jax", "2.0.0") is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert library.find("tensorflow", "1.2.3") is None


def test_one_of_other_sources_is_told_and_not_taken(cache):
    where = library.place("jax", "1.2.3")
    old = where._replace(sources="0" * 16, folder=cache / "jax-1.2.3-old")
    stored(old)
    with pytest.warns(library.NativeWarning, match="another version of keras"):
        assert library.find("jax", "1.2.3") is None


@pytest.mark.parametrize("damage", ["library", "manifest", "neither file"])
def test_a_damaged_one_is_told_and_not_taken(cache, damage):
    where = library.place("jax", "1.2.3")
    file = stored(where)
    if damage == "library":
        file.write_bytes(b"half a lib")
    elif damage == "manifest":
        (where.folder / library.MANIFEST).write_text("{")
    else:
        file.unlink()
    with pytest.warns(library.NativeWarning, match=r"damaged.*build-ops"):
        assert library.find("jax", "1.2.3") is None


def test_a_library_that_does_not_load_is_told(cache):
    from keras_pss.native import dispatch as kernels
    from keras_pss.native import tensorflow_kernels

    load = kernels._loaded.__wrapped__
    assert load("torch") is None
    stored(library.place("tensorflow", tensorflow_kernels.version()))
    with pytest.warns(library.NativeWarning, match="do not load.*--force"):
        assert load("tensorflow") is None


def test_the_sources_name_the_folder(cache, tmp_path, monkeypatch):
    copy = tmp_path / "custom_ops"
    shutil.copytree(SOURCES, copy)
    monkeypatch.setattr(library, "source_folder", lambda: copy)
    first = library.place.__wrapped__("jax", "1")
    (copy / "core" / "robe.cc").write_text("// changed")
    second = library.place.__wrapped__("jax", "1")
    assert first.folder != second.folder
    monkeypatch.setattr(library, "source_folder", lambda: None)
    assert library.place.__wrapped__("jax", "1") is None


def described(framework):
    return {"version": "9.9.9", "options": {"KERAS_PSS_FRAMEWORK": "none"}}


def test_errors_of_a_build_say_what_to_do(cache, monkeypatch):
    with pytest.raises(build.BuildError, match=r"tensorflow or jax.*'torch'"):
        build.build("torch")
    monkeypatch.setattr(build, "_describe", described)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(build.BuildError, match="`no-such-compiler` was not"):
        build.build("jax", cuda=False)
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    with pytest.raises(build.BuildError, match=r"`nvcc` was not found"):
        build.build("jax", cuda=True)
    monkeypatch.setattr(library, "source_folder", lambda: None)
    library.place.cache_clear()
    with pytest.raises(build.BuildError, match="custom_ops, are missing"):
        build.build("jax", cuda=False)


@pytest.mark.slow
@needs_compiler
def test_a_failed_build_says_why_and_leaves_nothing(cache, monkeypatch):
    broken = cache / "broken"
    shutil.copytree(SOURCES, broken)
    (broken / "core" / "tile.cc").write_text("this is not C++")
    monkeypatch.setattr(library, "source_folder", lambda: broken)
    monkeypatch.setattr(build, "_describe", described)
    with pytest.raises(build.BuildError, match=r"(?s)did not compile.*tile.cc"):
        build.build("jax", cuda=False)
    assert [path.name for path in cache.iterdir()] == ["broken"]


@pytest.mark.slow
@needs_compiler
def test_a_build_is_kept_until_it_is_forced_or_damaged(cache, monkeypatch):
    pytest.importorskip("jax")
    steps = []
    file = build.build(
        "jax", cuda=False, progress=lambda *step: steps.append(step)
    )
    assert [count for count, _, _ in steps] == [*range(1, len(steps) + 1)]
    assert {total for _, total, _ in steps} == {len(steps)}
    named = cmake_lists()["CORE_SOURCES"] + cmake_lists()["FFI_SOURCES"]
    assert sorted(file for *_, file in steps) == sorted(
        Path(name).name for name in named
    )
    assert not library.unsafe(file)
    assert library.find("jax", build._describe("jax")["version"]) == file
    # What is compiled once more is the same.
    whole, compiled = file.read_bytes(), []

    def again(folder, *args):
        compiled.append(folder)
        (folder / library.FILE).write_bytes(whole)
        return folder / library.FILE

    monkeypatch.setattr(build, "_compile", again)
    assert build.build("jax", cuda=False) == file
    assert not compiled
    file.write_bytes(b"half")
    assert build.build("jax", cuda=False).read_bytes() == whole
    assert len(compiled) == 1
    monkeypatch.setattr(build, "_compiler", lambda: "another compiler")
    assert build.build("jax", cuda=False) == file
    assert len(compiled) == 2
    assert library.manifest(file.parent)["compiler"] == "another compiler"
    assert build.build("jax", cuda=False, force=True) == file
    assert len(compiled) == 3


def cmake_lists():
    """The lists of sources in CMakeLists.txt, by name."""
    text = (SOURCES / "CMakeLists.txt").read_text()
    found = re.findall(r"set\((\w+_SOURCES)\s+([^)]*)\)", text)
    return {name: sorted(files.split()) for name, files in found}


def bazel_lists():
    """The lists of sources in BUILD, by name."""
    lists = {}
    exec((ROOT / "BUILD").read_text(), _bazel(lists))
    return {
        name: sorted(files)
        for name, files in lists.items()
        if name.endswith("_SOURCES")
    }


def _bazel(lists):
    """BUILD's few functions, and a place that keeps its lists."""

    class Names(dict):
        def __setitem__(self, name, value):
            lists[name] = value
            super().__setitem__(name, value)

    names = Names()
    for function in ("load", "package", "cc_library", "cc_binary", "cc_test"):
        dict.__setitem__(names, function, lambda *args, **kwargs: None)
    dict.__setitem__(names, "cuda_library", lambda *args, **kwargs: None)
    dict.__setitem__(names, "glob", lambda patterns: patterns)
    return names


def test_bazel_and_cmake_build_the_same_sources():
    cmake = cmake_lists()
    assert cmake == bazel_lists()
    named = {name for files in cmake.values() for name in files}
    there = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*")
        if path.suffix in (".cc", ".cu")
    }
    assert named == there


@needs_compiler
@pytest.mark.slow
def test_the_core_on_its_own_and_under_sanitizers(tmp_path):
    """The core's own tests: plain loops, nonsense, and what sanitizers see.

    The CUDA kernels are compared with the core as well, emulated on the CPU.
    """
    for sanitize in ("", "address,undefined"):
        folder = tmp_path / (sanitize or "plain")
        options = ["-DKERAS_PSS_TESTS=ON", f"-DKERAS_PSS_SANITIZE={sanitize}"]
        options.append("-DCMAKE_CXX_FLAGS=-O1")  # sanitizers are slow without
        for command in (
            ["cmake", "-S", SOURCES, "-B", folder, *options],
            ["cmake", "--build", folder, "-j2"],
        ):
            run = subprocess.run(command, capture_output=True, text=True)
            assert run.returncode == 0, run.stdout + run.stderr
        for command in [folder / "core_test"], [folder / "cuda_test", "12"]:
            run = subprocess.run(command, capture_output=True, text=True)
            assert run.returncode == 0, run.stdout + run.stderr
            assert "all checks passed" in run.stdout


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("nvcc"), reason="needs nvcc")
def test_the_cuda_code_compiles_and_links(cache):
    """With JAX's few headers; the kernels are the same for TensorFlow."""
    pytest.importorskip("jax")
    file = build.build("jax", cuda=True)
    assert library.has_cuda(file)
    symbols = ctypes.CDLL(str(file))
    for name in ("robe", "tensor_train"):
        assert getattr(symbols, f"keras_pss_{name}_lookup_cuda")
        assert getattr(symbols, f"keras_pss_{name}_gradient_cuda")
    # Without a GPU, CUDA's own word for it and no crash.
    symbols.pss_cuda_error.restype = ctypes.c_char_p
    assert b"no CUDA-capable device" in symbols.pss_cuda_error(100)
