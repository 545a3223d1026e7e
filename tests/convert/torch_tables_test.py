"""Tables of PyTorch's libraries give the rows of the reference's formulas."""

import pickle
import sys
from functools import reduce

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.convert import import_tables, read_tables, reverse_digits

RNG = np.random.default_rng(3)


def draw(*shape, dtype="float32"):
    return RNG.normal(size=shape).astype(dtype)


# What dlrm saves with --qr-flag, --md-flag or neither, in one dict.
DLRM = {
    "emb_l.0.weight": draw(7, 4),
    "emb_l.1.weight_q": draw(4, 4),
    "emb_l.1.weight_r": draw(3, 4),
    "emb_l.2.embs.weight": draw(9, 2),
    "emb_l.2.proj.weight": draw(4, 2),
    "emb_l.3.embs.weight": draw(5, 4),
    "half.weight": draw(6, 2, dtype="float16"),
    "bot_l.0.weight": draw(8, 13),
    "bot_l.0.bias": draw(8),
    "norm.weight": draw(8),
    "steps.weight": np.zeros((2, 2), "int64"),
}
KINDS = {
    "emb_l.0": ("full", 7, 4),
    "emb_l.1": ("qr", 12, None),
    "emb_l.2": ("mixed_dimension", 9, 4),
    "emb_l.3": ("full", 5, 4),
    "half": ("full", 6, 2),
}


def qr_rows(operation, state, name, count):
    """The reference divides in float32."""
    quotients, remainders = state[f"{name}_q"], state[f"{name}_r"]
    ids, buckets = np.arange(count), len(remainders)
    left = quotients[
        (ids.astype("float32") / np.float32(buckets)).astype("int64")
    ]
    right = remainders[ids % buckets]
    if operation == "concat":
        return np.concatenate([left, right], 1)
    return left * right if operation == "mult" else left + right


def train_rows(cores, row_shape):
    """The TT matrix: the first core has the most significant digits.

    Args:
        cores: Arrays of shape `(p, r, q, r')`.
    """
    rows = []
    for digits in np.ndindex(*row_shape):
        slices = [core[i] for core, i in zip(cores, digits, strict=True)]
        rows.append(reduce(lambda a, b: np.tensordot(a, b, 1), slices).ravel())
    return np.array(rows)


@pytest.mark.parametrize("form", ["dict", "npz", "safetensors", "wrapped"])
def test_tables_of_dlrm_are_found_and_read(form, tmp_path):
    path = tmp_path / f"model.{form}"
    source = DLRM
    if form == "npz":
        np.savez(path, **DLRM)
        source = path
    elif form == "safetensors":
        safetensors = pytest.importorskip("safetensors.numpy")
        safetensors.save_file(DLRM, path)
        source = str(path)
    elif form == "wrapped":
        wrapped = {f"module._dmp_wrapped_module.{k}": DLRM[k] for k in DLRM}
        source = {"epoch": 3, "state_dict": wrapped}
    found = read_tables(source)
    kinds = {n: (t.kind, t.input_dim, t.output_dim) for n, t in found.items()}
    assert kinds == KINDS
    assert len(found.other) == 4
    assert "'emb_l.1': qr" in str(found)
    assert "float32 (8,)" in str(found) or "F32 (8,)" in str(found)
    layers = import_tables(source, operation="mult")
    expected = {
        "emb_l.0": DLRM["emb_l.0.weight"],
        "emb_l.1": qr_rows("mult", DLRM, "emb_l.1.weight", 12),
        "emb_l.3": DLRM["emb_l.3.embs.weight"],
        "half": DLRM["half.weight"].astype("float32"),
    }
    for name, rows in expected.items():
        np.testing.assert_array_equal(layers[name].materialize(), rows)
    narrow, projection = (DLRM[f"emb_l.2.{k}.weight"] for k in ("embs", "proj"))
    np.testing.assert_allclose(
        layers["emb_l.2"].materialize(), narrow @ projection.T, rtol=1e-5
    )
    assert isinstance(layers["emb_l.2"], keras_pss.MixedDimensionEmbedding)


@pytest.mark.parametrize("operation", ["add", "concat"])
def test_some_tables_by_name_or_into_given_layers(operation):
    width = 8 if operation == "concat" else 4
    # Eleven ids use the same rows as twelve: ceil(11 / 3) = 4.
    given = keras_pss.QREmbedding(11, width, num_buckets=3, operation=operation)
    layers = import_tables(
        DLRM,
        {
            "emb_l.1": given,
            "half.weight": keras_pss.FullEmbedding(6, 2, mask_zero=True),
        },
    )
    assert list(layers) == ["emb_l.1", "half.weight"]
    assert layers["emb_l.1"] is given
    np.testing.assert_array_equal(
        given.materialize(), qr_rows(operation, DLRM, "emb_l.1.weight", 11)
    )
    # A matrix that is no table by its name is imported by its key.
    (kernel,) = import_tables(DLRM, ["bot_l.0.weight"]).values()
    np.testing.assert_array_equal(kernel.materialize(), DLRM["bot_l.0.weight"])


def fbtt(cached=False):
    """Two tables of 3 x 2 x 4 rows and 2 x 1 x 3 columns, ranks 2 and 5."""
    shapes = [(3, 1, 2, 2), (2, 2, 1, 5), (4, 5, 3, 1)]
    cores = [draw(2, *shape) for shape in shapes]
    state = {
        f"emb.tt_cores.{k}": core.reshape(2, core.shape[1], -1)
        for k, core in enumerate(cores)
    }
    cache = np.array([-1, 0 if cached else -1], "int32")
    state["emb.optimizer_state.optimizer_state0"] = draw(2, 3, 4)
    return {**state, "emb.cache_state": cache}, cores


def test_cores_of_fbtt():
    state, cores = fbtt()
    found = read_tables(state)
    assert [found["emb[1]"].input_dim, found["emb[1]"].output_dim] == [24, None]
    layers = import_tables(state, column_shape=[2, 1, 3])
    assert list(layers) == ["emb[0]", "emb[1]"]
    for number, layer in enumerate(layers.values()):
        each = [core[number] for core in cores]
        np.testing.assert_allclose(
            layer.materialize(), train_rows(each, (3, 2, 4)), atol=1e-5
        )
    # Of the 24 rows, a given layer may have fewer.
    given = keras_pss.TTEmbedding(
        21, 6, rank=[2, 5], row_shape=[3, 2, 4], column_shape=[2, 1, 3]
    )
    import_tables(state, {"emb[1]": given})
    np.testing.assert_array_equal(
        given.materialize(), layers["emb[1]"].materialize()[:21]
    )


def test_cores_of_t3nsor_need_reversed_ids():
    shapes = [(1, 3, 2, 2), (2, 2, 1, 5), (5, 4, 3, 1)]
    cores = [draw(*shape) for shape in shapes]
    state = {f"emb.parameters.{k}": core for k, core in enumerate(cores)}
    with pytest.raises(ValueError, match=r"reverse_digits.*table 'emb'"):
        import_tables(state)
    layer = import_tables(state, reversed_digits=True)["emb"]
    assert layer.row_shape == (3, 2, 4)
    # t3nsor's ind2sub: the first core has the least significant digit.
    ids = np.arange(24)
    digits = [ids % 3, ids // 3 % 2, ids // 6]
    table = train_rows([c.transpose(1, 0, 2, 3) for c in cores], (3, 2, 4))
    expected = table[np.ravel_multi_index(digits, (3, 2, 4))]
    beyond = reverse_digits(np.array([24, 29, -1]), layer.row_shape)
    assert ((beyond >= 24) | (beyond < 0)).all()
    rows = layer(reverse_digits(ids, layer.row_shape))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(rows), expected, atol=1e-5
    )
    # The same cores under another name are those of a matrix.
    state = {f"emb.{k}": core for k, core in enumerate(cores)}
    np.testing.assert_allclose(
        import_tables(state)["emb"].materialize(), table, atol=1e-5
    )


def test_bfloat16_and_blocks_of_rows(tmp_path, monkeypatch):
    safetensors = pytest.importorskip("safetensors.numpy")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rows = draw(100, 3).astype(ml_dtypes.bfloat16)
    safetensors.save_file({"weight": rows}, tmp_path / "a.safetensors")
    monkeypatch.setattr("keras_pss.convert.checkpoints.fill.BLOCK", 3 * 7)
    (layer,) = import_tables(tmp_path / "a.safetensors").values()
    assert layer.embeddings.dtype == "float32"
    (tmp_path / "b.safetensors").write_bytes(b"no" * 20)
    with pytest.raises(ValueError, match="damaged or not of safetensors"):
        read_tables(tmp_path / "b.safetensors")
    np.testing.assert_array_equal(layer.materialize(), rows.astype(np.float32))


class DTensor:
    shape = (2, 2)


REFUSED = {
    "pickle": ("m.pt", {}, r"is a pickle.*torch.load\('m.pt'.*'m.safetensors'"),
    "suffix": ("m.h5", {}, "must be a .safetensors or .npz file"),
    "kind": (3, {}, r"`source` must be a path.*source=3 \(of type int\)"),
    "sharded": ({"a.weight": DTensor()}, {}, "Gather.*'a.weight'.*DTensor"),
    "none": ({"a": draw(3)}, {}, "no embedding table.*'a': 'float32 "),
    "bytes": ({3: draw(3, 4)}, {}, r"dict of arrays by name.*keys \[3\]"),
    "empty": ({"a.weight": draw(0, 4)}, {}, "no embedding table"),
    "twice": (
        {"a.weight": draw(3, 4), "b.weight": draw(3, 4)},
        {"layers": dict.fromkeys("ab", keras_pss.FullEmbedding(3, 4))},
        "the same layer for 'a' and 'b'",
    ),
    "diverged": (
        {"a.weight": np.full((3, 4), np.nan)},
        {},
        "'a' must have finite numbers.*as float32",
    ),
    "wide": (
        {"a.weight": np.full((3, 4), 1e5)},
        {"layers": {"a": keras_pss.FullEmbedding(3, 4, dtype="float16")}},
        "not finite as float16",
    ),
    "name": (
        DLRM,
        {"layers": ["emb_l.9"]},
        r"Did you mean 'emb_l.\d'\?.*other keys \['bot_l.0.weight'.*'emb_l.9'",
    ),
    "layers": (DLRM, {"layers": "emb_l.0"}, "`layers` must be None.*'emb_l.0'"),
    "operation": (DLRM, {}, "Give `operation`, 'mult'.*operation=None"),
    "widths": (
        {"t.weight_q": draw(3, 4), "t.weight_r": draw(3, 2)},
        {"operation": "concat"},
        r"concatenate.*'t.weight_q', 't.weight_r'.*\[4, 2\] in table 't'",
    ),
    "columns": (fbtt()[0], {}, "Give `column_shape`.*column_shape=None"),
    "factors": (
        fbtt()[0],
        {"column_shape": [2, 1, 2]},
        r"one factor for each of 3 cores.*\(4, 10, 15\).*\[2, 1, 2\]",
    ),
    "cache": (fbtt(True)[0], {"column_shape": [2, 1, 3]}, "drop_cache=True"),
    "projection": (
        {"t.embs.weight": draw(5, 4), "t.proj.weight": draw(3, 4)},
        {},
        r"must be narrower.*4 columns.*\(3, 4\)",
    ),
    "class": (
        DLRM,
        {"layers": {"emb_l.0": keras.layers.Embedding(7, 4)}},
        "must be a FullEmbedding",
    ),
    "shape": (
        DLRM,
        {"layers": {"emb_l.0": keras_pss.FullEmbedding(8, 4, name="x")}},
        r"shapes \{'embeddings': \(7, 4\)\}.*'x' with.*\(8, 4\)",
    ),
    "packed": (
        DLRM,
        {
            "layers": {
                "emb_l.0": keras_pss.FullEmbedding(
                    7, 4, dtype="int8_from_float32"
                )
            }
        },
        "packed layer cannot hold.*int8_from_float32 for 'emb_l.0'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_imported_is_refused(case):
    source, options, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        import_tables(source, **options)


def test_the_order_of_bytes_does_not_matter(tmp_path):
    rows = draw(5, 3)
    state = {"a.weight": rows.astype(">f4")}
    np.savez(tmp_path / "a.npz", **state)
    for source in (state, tmp_path / "a.npz"):
        found = import_tables(source)["a"].materialize()
        assert np.array_equal(found, rows)


def test_files_that_are_none_of_these_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **{"archive/data.pkl": np.zeros(3)})
    (tmp_path / "b.npz").write_bytes(pickle.dumps({"a.weight": [1]}))
    np.savez_compressed(tmp_path / "c.npz", a=np.zeros((99, 99)))
    for name, message in {
        "a": "is a pickle",
        "b": "damaged, compressed or not",
        "c": "savez_compressed",
    }.items():
        with pytest.raises(ValueError, match=message):
            read_tables(tmp_path / f"{name}.npz")
    with pytest.raises(FileNotFoundError):
        read_tables(tmp_path / "none.npz")


def test_without_safetensors_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(
        ImportError, match=r'install "keras-pss\[safetensors\]"'
    ):
        read_tables("a.safetensors")


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="PyTorch takes seconds to load"
)
def test_modules_of_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors.torch")
    model = torch.nn.ModuleDict(
        {
            "item": torch.nn.Embedding(9, 4, padding_idx=0),
            "bag": torch.nn.EmbeddingBag(8, 4, mode="mean").bfloat16(),
            "norm": torch.nn.Embedding(5, 2, max_norm=0.5),
            "top": torch.nn.Linear(4, 3),
        }
    )
    ids = torch.arange(8)
    with pytest.raises(ValueError, match=r"max_norm=0\.5 in 'norm'"):
        import_tables(model)
    assert set(import_tables(model, ["item", "bag"])) == {"item", "bag"}
    expected = model["norm"](ids[:5]).detach().numpy()
    with torch.no_grad():  # what the message says
        m = model["norm"]
        m.weight.copy_(torch.renorm(m.weight, m.norm_type, 0, m.max_norm))
        m.max_norm = None
    layers = import_tables(model)
    assert set(layers) == {"item", "bag", "norm"}
    np.testing.assert_allclose(layers["norm"].materialize(), expected)
    np.testing.assert_array_equal(
        layers["item"].materialize(np.arange(8)),
        model["item"](ids).detach().numpy(),
    )
    bags = torch.tensor([[1, 2, 7], [4, 4, 0]])
    pooled = keras_pss.EmbeddingBag(layers["bag"], combiner="mean")(bags)
    np.testing.assert_allclose(
        pooled.detach().numpy(),
        model["bag"].float()(bags).detach().numpy(),
        atol=1e-6,
    )
    # The error about a pickle has two lines that convert it.
    path = tmp_path / "m.pt"
    torch.save({"state_dict": model.state_dict(), "epoch": 1}, path)
    with pytest.raises(ValueError, match="is a pickle") as refused:
        import_tables(path)
    lines = [x.strip() for x in str(refused.value).splitlines()[1:3]]
    exec(
        "\n".join(lines),
        {"torch": torch, "safetensors": sys.modules["safetensors"]},
    )
    again = import_tables(tmp_path / "m.safetensors", ["item"])["item"]
    np.testing.assert_array_equal(
        again.materialize(), layers["item"].materialize()
    )
