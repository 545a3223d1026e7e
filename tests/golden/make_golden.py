"""Makes the golden files: what this version of the package saves.

Run it only on purpose, when a new class is added: the files prove that what
an older version saved still loads, and files made by new code prove nothing
about it. A set that is there is never made again; a new class goes into a set
of its own, with a name of its own, and the sets before stay as they are:

    KERAS_BACKEND=tensorflow PYTHONPATH=.:tests \
        python tests/golden/make_golden.py [SET ...]

Without names, all sets that are missing are made. To make one again on
purpose, remove its files first.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import golden_files
import keras
import make_models
import make_runs
import make_saved
import numpy as np
from golden_files import SAVED

import keras_pss

MODELS = {**make_saved.SETS, **make_models.SETS}


def save_set(name: str, model: keras.Model, inputs: dict, exact: list) -> None:
    """One model in each form that Keras saves, and what it must answer."""
    path = SAVED / name
    kept = {f"in/{key}": value for key, value in inputs.items()}
    config = keras.saving.serialize_keras_object(model)
    written = {"exact": exact, "config": config}
    for form in ("float", "int8"):
        stem = path if form == "float" else path.with_name(f"{name}_int8")
        if form == "int8":
            model.quantize("int8")
        model.save(f"{stem}.keras")
        golden_files.pack_keras(Path(f"{stem}.keras"))
        model.save_weights(f"{stem}.weights.h5")
        golden_files.pack(Path(f"{stem}.weights.h5"))
        found = golden_files.outputs(model, inputs)
        kept |= {f"{form}/{key}": value for key, value in found.items()}
        # Names are those of the model that a file gives.
        loaded = keras.saving.load_model(f"{stem}.keras")
        written[form] = golden_files.manifest(loaded.weights)
    np.savez_compressed(f"{path}.npz", **kept)
    golden_files.write_json(written, Path(f"{path}.json"))


def save_configs() -> None:
    """Configs of all public classes, each in the forms of the sets."""
    found = {}
    for name, make in MODELS.items():
        model, _, _ = make()
        for layer in model.layers:
            if layer.__class__.__name__ in golden_files.public_classes():
                found[f"{name}/{layer.name}"] = layer
    found |= make_saved.more_objects()
    configs = {
        name: keras.saving.serialize_keras_object(value)
        for name, value in found.items()
    }
    golden_files.write_json(configs, SAVED / "configs.json")
    missing = set(golden_files.public_classes()) - {
        value.__class__.__name__ for value in found.values()
    }
    assert not missing, f"no set has {missing}"


def main(names: list[str]) -> None:
    SAVED.mkdir(parents=True, exist_ok=True)
    jobs = {
        name: (
            SAVED / f"{name}.keras",
            lambda make=make, name=name: save_set(name, *make()),
        )
        for name, make in MODELS.items()
    }
    jobs["configs"] = (SAVED / "configs.json", save_configs)
    jobs["trained"] = (SAVED / "trained.json", make_models.trained)
    jobs["exported"] = (SAVED / "exported.npz", make_models.exported)
    for name, make in make_runs.SETS.items():
        jobs[name] = (golden_files.FOLDER / name, make)
    for name in names or jobs:
        path, make = jobs[name]
        if path.exists():
            print(f"{name} is there already")
            continue
        keras.utils.clear_session()
        keras.utils.set_random_seed(2026)
        make()
        print(f"{name} made with keras_pss {keras_pss.__version__}")


if __name__ == "__main__":
    main(sys.argv[1:])
