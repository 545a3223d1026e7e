"""Who may import whom, and what `import keras_pss` must not load."""

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "keras_pss"

# A room may import from those named here, and from itself.
ALLOWED = {
    "native": {"files", "on_demand"},
    "keras_internals": set(),
    "arrays": set(),
    "files": set(),
    "messages": set(),
    "named_toml": set(),
    "on_demand": set(),
    "text_tables": set(),
    # Declarations alone: whoever reads or trains imports them.
    "features": {"files", "messages", "named_toml"},
    "ops": {"native"},
    "metrics": {"on_demand"},
    "optimizers": {"keras_internals", "ops"},
    "layers": {
        "keras_internals",
        "messages",
        "on_demand",
        "ops",
        "optimizers",
    },
    "distribution": {
        "data.pipelines.shards",
        "keras_internals",
        "layers",
        "ops",
    },
    "planning": {
        "files",
        "layers",
        "messages",
        "on_demand",
        "ops",
        "optimizers",
        "text_tables",
        "version",
    },
    "callbacks": {"layers", "ops", "optimizers"},
    # Models as they come out of training; what trains them is above.
    "convert": {
        "arrays",
        "keras_internals",
        "layers",
        "messages",
        "models",
        "ops",
        "optimizers",
        "text_tables",
    },
    "models": {"keras_internals", "layers", "ops"},
    "data": {
        "arrays",
        "features",
        "files",
        "messages",
        "ops.dense_transform",
        "ops.hash_families",
        "version",
    },
    "training": {
        "arrays",
        "callbacks",
        "convert",
        "data",
        "distribution",
        "features",
        "files",
        "layers",
        "messages",
        "metrics",
        "models",
        "named_toml",
        "on_demand",
        "ops",
        "optimizers",
        "planning",
        "serving",
        "version",
    },
    # Raw rows are encoded as the rows that `data` has prepared.
    "serving": {
        "data",
        "features",
        "files",
        "layers",
        "messages",
        "models",
        "on_demand",
        "ops",
        "version",
    },
    "comparison": {
        "data",
        "files",
        "layers",
        "metrics",
        "named_toml",
        "on_demand",
        "optimizers",
        "planning",
        "serving",
        "training",
    },
}
# Within a room, from its inner to its outer parts.
LAYERS = {
    "initial_values": set(),
    "base": {"initial_values"},
    "fused": {"base", "initial_values"},
    # Decisions by numbers alone, before there is a layer.
    "planned": {"base", "fused"},
    "embedding": {"base", "fused", "initial_values"},
    # The names of all methods, HotRows among them, which wraps another one.
    "embedding/methods.py": {
        "base",
        "embedding",
        "composite.hot_rows",
        "planned",
    },
    "composite": {"base", "embedding", "fused", "initial_values", "planned"},
    "feature_interaction": {"base"},
}
# Rooms within a room: what is around them imports them, not they it.
INNER = (
    "features/checks",
    "layers/composite/features",
    "ops/hash_families",
    "serving/raw_rows/layers",
)
MOST_FILES = 16
# Packages of what only declares: it must load in milliseconds, anywhere.
FEATURES = {"keras_pss", "pydantic", "tomlkit"} | set(sys.stdlib_module_names)
TENSORFLOW = (
    "comparison/worker_process.py",
    "data/",
    "distribution/",
    "serving/",
    "training/",
    "native/tensorflow_kernels.py",
    "ops/methods/chain_tensorflow.py",  # loaded on this backend alone
)
JAX = (
    "native/jax_kernels.py",
    "distribution/on_jax/",
    "ops/methods/chain_jax.py",  # decorates functions of JAX
)


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def imported(tree):
    """(module, whether at the top level) of every import of a file."""
    top = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node in top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node in top


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p)[-40:])
def test_imports_go_one_way(path):
    relative = path.relative_to(PACKAGE).as_posix()
    folder = relative.removesuffix(".py").split("/")[0]
    room = relative.split("/")[1] if folder == "layers" else None
    room = next((r for r in LAYERS if relative == f"layers/{r}"), room)
    tree = ast.parse(path.read_text())
    for name, at_top in imported(tree):
        if name.startswith("keras_pss.") and folder in ALLOWED:
            target = name.removeprefix("keras_pss.")
            allowed = {folder, *ALLOWED[folder]}
            ok = any(f"{target}.".startswith(f"{a}.") for a in allowed)
            assert ok, f"{relative} imports {name}"
            if room in LAYERS and target.startswith("layers."):
                inner = target.removeprefix("layers.")
                allowed = {room, *LAYERS[room]}
                ok = any(f"{inner}.".startswith(f"{a}.") for a in allowed)
                assert ok, f"{relative} imports {name}"
        if folder == "features":
            assert name.split(".")[0] in FEATURES, f"{relative}: {name}"
        if name.split(".")[0] == "tensorflow":
            ok = relative.startswith(TENSORFLOW)
            ok = ok or (folder in ("ops", "native") and not at_top)
            assert ok, f"{relative} imports TensorFlow"
        if name.split(".")[0] == "tensorflow_datasets" or (
            f"{name}.".startswith("keras_pss.data.tfds.")
        ):
            # An optional package: only who names a dataset needs it.
            ok = relative.startswith("data/tfds/") or (
                not at_top and relative.startswith("data/readers/tfds/")
            )
            assert ok, f"{relative} imports {name} before it is needed"
        if name.split(".")[0] in ("jax", "jaxlib") and at_top:
            ok = relative.startswith(JAX)
            assert ok, f"{relative} imports {name}"
        assert not name.startswith("keras.src"), f"{relative}: private Keras"


SCRIPTS = sorted(
    path
    for folder in ("benchmarks", "examples")
    for path in (PACKAGE.parent / folder).rglob("*.py")
)


@pytest.mark.tf_only
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_import_what_there_is(path):
    """Benchmarks run seldom: a name that was changed would go unnoticed."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        if not f"{node.module}.".startswith(("keras_pss.", "keras_pss_cli.")):
            continue
        module = import_module(node.module)
        for alias in node.names:
            if not hasattr(module, alias.name):  # then it is a module
                import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("room", INNER)
def test_inner_rooms_import_nothing_around_them(room):
    own = f"keras_pss.{room.replace('/', '.')}."
    around = own[: own.rindex(".", 0, -1) + 1]
    for path in (PACKAGE / room).glob("*.py"):
        for name, _ in imported(ast.parse(path.read_text())):
            inside = name.startswith(own)
            assert inside or not name.startswith(around), (path, name)


def test_no_folder_has_more_files_than_one_can_survey():
    crowded = {
        str(folder): count
        for folder in {path.parent for path in modules()}
        if (count := len(list(folder.glob("*.py")))) > MOST_FILES
    }
    assert not crowded


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("exports.py")), ids=lambda p: p.parent.name
)
def test_exports_are_names_of_no_module(path):
    """Importing a module sets it as an attribute, in the place of a name."""
    names = {
        alias.asname
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        # `from package import module as module` names the module itself.
        if node.module != f"keras_pss.{path.parent.name}"
    }
    assert names
    modules = {p.stem for p in path.parent.iterdir()}
    assert not names & modules


def loaded_by_import(backend):
    """Modules that Keras loads, and those that this package adds.

    An export comes last, without the packages that only logs need.
    """
    script = (
        "import sys, keras; own = set(sys.modules); import keras_pss; "
        "print(*own); print(*set(sys.modules) - own); "
        "sys.modules.update(pydantic=None, polars=None); "
        "import keras_pss.serving"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    return [set(line.split()) for line in result.stdout.splitlines()]


@pytest.mark.tf_only
@pytest.mark.parametrize(
    "backend",
    ["tensorflow", "jax", pytest.param("torch", marks=pytest.mark.slow)],
)
def test_the_package_loads_no_framework_but_keras_own(backend):
    # Keras itself takes what it finds, such as matplotlib.
    own, added = loaded_by_import(backend)
    assert "keras_pss.layers" in added
    packages = {name.split(".")[0] for name in added}
    assert packages <= {"keras_pss"} | set(sys.stdlib_module_names)
    assert not {"pydantic", "polars"} & own
    assert ("tensorflow" in own) == (backend == "tensorflow")


def test_public_names_are_there():
    import keras_pss

    for name in [
        "ROBEEmbedding",
        "TTEmbedding",
        "QREmbedding",
        "HashedEmbedding",
        "FullEmbedding",
        "SharedMemory",
        "EmbeddingCollection",
        "DotInteraction",
        "VectorCross",
        "MatrixCross",
        "FieldSum",
        "BiInteraction",
        "FactorizationMachine",
        "FieldAttention",
        "CompressedInteraction",
        "SqueezeExcitation",
        "BilinearInteraction",
        "FPDEmbedding",
        "MEMComEmbedding",
        "MixedDimensionEmbedding",
        "TensorRingEmbedding",
        "SketchEmbedding",
        "QuantizedEmbedding",
        "DeepHashEmbedding",
        "ClusteredEmbedding",
        "EmbeddingBag",
        "HotRows",
        "FrequencyFilter",
        "FitReport",
        "PretrainedTable",
        "embedding",
        "memory_report",
        "plan",
        "callbacks",
        "compress_model",
        "fine_tune",
        "models",
        "native",
    ]:
        assert hasattr(keras_pss, name)


@pytest.mark.parametrize("package", ["layers", "planning", "training"])
def test_a_star_imports_the_names_of_packages_that_import_late(package):
    found = {}
    exec(f"from keras_pss.{package} import *", found)
    wanted = {
        "layers": {"TTEmbedding", "EmbeddingBag"},
        "planning": {"plan", "PlannedTable"},
        "training": {"train", "RunConfig"},
    }
    assert wanted[package] <= set(found)
