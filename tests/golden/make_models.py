"""CTR models, trained and exported ones; see make_golden.py."""

from typing import Any

import golden_files
import keras
import methods
import numpy as np
from golden_files import SAVED
from make_saved import stir

import keras_pss
from keras_pss.serving import export_saved_model
from keras_pss.training import WarmupDecay

FIELD_DIMS = (5, 6, 7, 8)

PARTS = {
    "DLRM": ("robe", {"bottom_units": (6,), "top_units": (5,)}),
    "DCN": ("full", {}),
    "DCNv2": ("hash", {}),
    "AutoInt": ("qr", {"num_attention": 1, "attention_units": 3}),
    "DeepFM": ("robe", {}),
    "XDeepFM": ("tt", {"cross_units": (4, 3)}),
    "FiBiNET": ("hash", {}),
    "NeuralCF": ("robe", {}),
}


def ctr_model(name: str) -> tuple:
    """One of the eight, tiny, with dropout and L2."""
    method, arguments = PARTS[name]

    def tables(width: int, label: str, method: str) -> Any:
        return keras_pss.EmbeddingCollection(
            FIELD_DIMS, width, method, "1.1x", name=label
        )

    parts = {"embeddings": tables(4, "embeddings", method)}
    if name in ("DeepFM", "XDeepFM", "FiBiNET"):
        parts["wide"] = tables(1, "wide", "hash")
    if name == "NeuralCF":
        parts["mlp_embeddings"] = tables(4, "mlp_embeddings", method)
    settings = {"num_dense": 3, "dropout": 0.1, "l2": 1e-4, **arguments}
    if name != "DLRM":
        settings["hidden_units"] = (6, 5)
    model = getattr(keras_pss.models, name)(**parts, **settings)
    stir(model)
    random = np.random.RandomState(3)
    given = {
        "dense": random.normal(size=(5, 3)).astype("float32"),
        "categorical": np.stack(
            [random.randint(0, n, 5) for n in FIELD_DIMS], axis=1
        ).astype("int32"),
    }
    given = {key.name: given[key.name] for key in model.inputs}
    return model, given, []


def trained() -> None:
    """A compiled model after three steps, its optimizer's state with it."""
    model, given, _ = ctr_model("DLRM")
    labels = np.array([[0], [1], [1], [0], [1]], "float32")
    schedule = WarmupDecay(0.01, 2, decay="cosine", decay_steps=20)
    model.compile(
        keras.optimizers.Adam(schedule, clipnorm=1.0),
        "binary_crossentropy",
        metrics=["auc"],
    )
    for _ in range(3):
        model.train_on_batch(given, labels)
    model.save(SAVED / "trained.keras")
    golden_files.pack_keras(SAVED / "trained.keras")
    twin = keras.saving.load_model(SAVED / "trained.keras")
    kept = {f"in/{key}": value for key, value in given.items()}
    kept |= {"labels": labels, "output": golden_files.outputs(twin, given)}
    kept["output"] = kept["output"]["output"]
    written = {
        "weights": golden_files.manifest(twin.weights),
        "optimizer": golden_files.manifest(twin.optimizer.variables),
        "compile": twin.get_compile_config(),
        "rates": [float(schedule(step)) for step in range(25)],
    }
    np.savez_compressed(SAVED / "trained.npz", **kept)
    golden_files.write_json(written, SAVED / "trained.json")


def export(name: str, model: keras.Model, given: dict[str, Any]) -> dict:
    """A SavedModel, and what it was given and answered."""
    import tensorflow as tf

    path = export_saved_model(model, SAVED / f"exported_{name}")
    features = {key: tf.constant(value) for key, value in given.items()}
    loaded = tf.saved_model.load(str(path))
    answer = loaded.serve(features).numpy()
    kept = {f"{name}/in/{key}": value for key, value in given.items()}
    return {**kept, f"{name}/out": answer}


def exported() -> None:
    """SavedModels of what is looked up in quite different ways."""
    kept = {}
    for name in ("DLRM", "XDeepFM"):
        model, given, _ = ctr_model(name)
        kept |= export(name, model, given)
    inputs = keras.Input((None,), dtype="int32", name="ids")
    ids = np.array([[3, 10, 11, 59], [0, 1, 2, 4]], "int32")
    for name in ("hot_rows", "deep_hash"):
        (method,) = [m for m in methods.CLASSES if m.id == name]
        model = keras.Model({"ids": inputs}, method.make()(inputs))
        stir(model)
        kept |= export(name, model, {"ids": ids})
    np.savez_compressed(SAVED / "exported.npz", **kept)


SETS = {name.lower(): (lambda name=name: ctr_model(name)) for name in PARTS}
