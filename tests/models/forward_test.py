"""The models against forward passes in NumPy, in loops over fields."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss

DIMS = (5, 6, 7, 8)
DIM = 4
BATCH = 5
SMALL = {"hidden_units": (6, 3), "num_dense": 3}
WIDE = ("DeepFM", "XDeepFM", "FiBiNET")


def tables(dim, name, dims=DIMS):
    return keras_pss.EmbeddingCollection(
        dims, dim, "full", embeddings_initializer="zeros", name=name
    )


def model_of(name, dims=DIMS, **arguments):
    """A small model whose weights, biases too, make logits of order 1."""
    parts = {"embeddings": tables(DIM, "embeddings", dims)}
    if name in WIDE:
        parts["wide"] = tables(1, "wide", dims)
    if name == "NeuralCF":
        parts["mlp_embeddings"] = tables(3, "mlp_embeddings", dims)
    model = getattr(keras_pss.models, name)(**parts, **SMALL | arguments)
    random = np.random.RandomState(0)
    for weight in model.weights:
        table = "embeddings" in weight.path or len(weight.shape) == 1
        scale = 0.7 if table else weight.shape[-2] ** -0.5
        weight.assign(scale * random.normal(size=weight.shape))
    return model


def batch_of(model, dims=DIMS):
    random = np.random.RandomState(1)
    ids = [random.randint(0, n, BATCH) for n in dims]
    batch = {"categorical": np.stack(ids, axis=1).astype("int32")}
    if len(model.inputs) == 2:
        width = model.input["dense"].shape[1]
        dense = random.normal(size=(BATCH, width))
        batch["dense"] = dense.astype("float32")
    return batch


class Parts:
    """What the formulas read of a model and a batch, in float64."""

    def __init__(self, model, batch):
        self.model = model
        self.ids = batch["categorical"]
        self.e = self.vectors("embeddings")
        self.dense = batch.get("dense", np.zeros((len(self.ids), 0)))
        self.dense = self.dense.astype("float64")

    def weights(self, layer):
        found = self.model.get_layer(layer).weights
        return [ops.convert_to_numpy(w).astype("float64") for w in found]

    def layers(self, prefix):
        names = [layer.name for layer in self.model.layers]
        count = sum(n.removeprefix(f"{prefix}_").isdigit() for n in names)
        return [self.weights(f"{prefix}_{k}") for k in range(count)]

    def vectors(self, layer):
        found = self.model.get_layer(layer)(self.ids)
        return ops.convert_to_numpy(found).astype("float64")

    def flat(self, vectors):
        return np.concatenate([*vectors.swapaxes(0, 1), self.dense], axis=1)

    def deep(self, x):
        for kernel, bias in self.layers("deep"):
            x = np.maximum(x @ kernel + bias, 0)
        return x

    def wide(self):
        logit = sum(self.vectors("wide").swapaxes(0, 1))
        if self.dense.size:
            (kernel,) = self.weights("wide_dense")
            logit = logit + self.dense @ kernel
        return logit

    def last(self, name, *features):
        kernel, bias = self.weights(name)
        return np.concatenate(features, axis=1) @ kernel + bias


def dcn(p):
    first = crossed = p.flat(p.e)
    for w, b in p.layers("cross"):
        crossed = np.stack(
            [
                x0 * (x @ w[:, 0]) + b + x
                for x0, x in zip(first, crossed, strict=True)
            ]
        )
    return p.last("probability", crossed, p.deep(first))


def dcn_v2(p, structure="parallel", rank=None):
    first = crossed = p.flat(p.e)
    for *kernels, b in p.layers("cross"):
        assert len(kernels) == (1 if rank is None else 2)
        matrix = kernels[0] if rank is None else kernels[0] @ kernels[1]
        crossed = first * (crossed @ matrix + b) + crossed
    if structure == "stacked":
        return p.last("probability", p.deep(crossed))
    return p.last("probability", crossed, p.deep(first))


def deepfm(p):
    logit = p.last("logit", p.deep(p.flat(p.e))) + p.wide()
    for i, j in itertools.combinations(range(len(DIMS)), 2):
        logit[:, 0] += (p.e[:, i] * p.e[:, j]).sum(axis=1)
    return logit


def autoint(p, hidden_units=SMALL["hidden_units"], num_heads=2):
    e = p.e
    for query, key, value, residual in p.layers("attention"):
        heads = []
        for head in range(num_heads):
            width = query.shape[1] // num_heads
            own = slice(head * width, (head + 1) * width)
            q, k, v = e @ query[:, own], e @ key[:, own], e @ value[:, own]
            fields = []
            for i in range(len(DIMS)):
                scores = [(q[:, i] * k[:, j]).sum(1) for j in range(len(DIMS))]
                share = np.exp(scores) / np.exp(scores).sum(axis=0)
                fields.append(
                    sum(s[:, None] * v[:, j] for j, s in enumerate(share))
                )
            heads.append(np.stack(fields, axis=1))
        e = np.maximum(np.concatenate(heads, axis=2) + e @ residual, 0)
    if not hidden_units:
        return p.last("probability", p.flat(e))
    attended = e.reshape(len(e), -1)
    return p.last("probability", attended, p.deep(p.flat(p.e)))


def xdeepfm(p, split_half=True, cross_activation="relu", **_):
    maps, pooled = p.e, []
    kernels = p.weights("cin")
    for layer, kernel in enumerate(kernels):
        kernel = kernel.reshape(maps.shape[1], len(DIMS), -1)
        new = np.zeros((len(maps), kernel.shape[2], DIM))
        for i, j, h in np.ndindex(kernel.shape):
            new[:, h] += kernel[i, j, h] * maps[:, i] * p.e[:, j]
        if cross_activation == "relu":
            new = np.maximum(new, 0)
        maps = out = new
        if split_half and layer + 1 < len(kernels):
            half = new.shape[1] // 2
            maps, out = new[:, :half], new[:, half:]
        pooled.append(out.sum(axis=2))
    return p.wide() + p.last("logit", *pooled, p.deep(p.flat(p.e)))


def fibinet(p, bilinear="interaction"):
    squeeze, excite = p.weights("senet")
    hidden = np.maximum(p.e.mean(axis=2) @ squeeze, 0)
    weights = np.maximum(hidden @ excite, 0)
    weighted = weights[:, :, None] * p.e
    (kernel,) = p.weights("bilinear")
    products = []
    for e in (p.e, weighted):
        pairs = itertools.combinations(range(len(DIMS)), 2)
        for pair, (i, j) in enumerate(pairs):
            which = {"interaction": pair, "each": i, "all": 0}[bilinear]
            products.append((e[:, i] @ kernel[which]) * e[:, j])
    x = np.concatenate([*products, p.dense], axis=1)
    return p.wide() + p.last("logit", p.deep(x))


def neural_cf(p):
    pairs = itertools.combinations(range(p.e.shape[1]), 2)
    product = sum(p.e[:, i] * p.e[:, j] for i, j in pairs)
    deep = p.deep(p.flat(p.vectors("mlp_embeddings")))
    return p.last("probability", product, deep)


FORMULAS = {
    "DCN": (dcn, {"num_cross": 2}),
    "DCNv2": (dcn_v2, {"num_cross": 2}),
    "DeepFM": (deepfm, {}),
    "AutoInt": (autoint, {"num_attention": 2, "attention_units": 3}),
    "XDeepFM": (xdeepfm, {"cross_units": (6, 4, 3)}),
    "FiBiNET": (fibinet, {"reduction_ratio": 2}),
    "NeuralCF": (neural_cf, {}),
}
VARIANTS = [
    ("DCNv2", {"rank": 2}),
    ("DCNv2", {"structure": "stacked"}),
    ("AutoInt", {"hidden_units": ()}),
    ("XDeepFM", {"split_half": False, "cross_activation": "linear"}),
    ("FiBiNET", {"bilinear": "each"}),
    ("FiBiNET", {"bilinear": "all"}),
]


def check(model, formula, dims=DIMS, **variant):
    batch = batch_of(model, dims)
    found = ops.convert_to_numpy(model(batch))
    logit = formula(Parts(model, batch), **variant)
    assert 0.1 < np.ptp(logit) < 50  # neither constant nor saturated
    np.testing.assert_allclose(
        found, 1 / (1 + np.exp(-logit)), rtol=3e-6, atol=1e-7
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_equals_numpy(name):
    formula, small = FORMULAS[name]
    check(model_of(name, **small), formula)


@pytest.mark.tf_only
@pytest.mark.parametrize("name", FORMULAS)
def test_needs_no_dense_features(name):
    formula, small = FORMULAS[name]
    model = model_of(name, **small | {"num_dense": 0})
    assert list(model.input) == ["categorical"]
    check(model, formula)


@pytest.mark.parametrize(("name", "variant"), VARIANTS, ids=str)
def test_variants_equal_numpy(name, variant):
    formula, small = FORMULAS[name]
    check(model_of(name, **small, **variant), formula, **variant)


def test_two_fields_are_the_papers_neural_matrix_factorization():
    def formula(p):
        product = p.e[:, 0] * p.e[:, 1]
        deep = p.deep(p.flat(p.vectors("mlp_embeddings")))
        return p.last("probability", product, deep)

    users_and_items = (9, 4)
    model = model_of("NeuralCF", users_and_items, num_dense=0)
    check(model, formula, users_and_items)


@pytest.mark.tf_only
def test_dlrm_with_dropout_and_l2_is_dlrm_when_it_predicts():
    arguments = {"bottom_units": (6,), "top_units": (5,), "num_dense": 3}
    models = [
        keras_pss.models.DLRM(tables(DIM, "embeddings"), **arguments),
        keras_pss.models.DLRM(
            tables(DIM, "embeddings"), **arguments, dropout=0.5, l2=0.1
        ),
    ]
    random = np.random.RandomState(0)
    values = [random.normal(size=w.shape) for w in models[0].weights]
    for model in models:
        model.set_weights(values)
    batch = batch_of(models[0])
    plain, dropped = (
        keras.ops.convert_to_numpy(model(batch)) for model in models
    )
    np.testing.assert_array_equal(plain, dropped)
