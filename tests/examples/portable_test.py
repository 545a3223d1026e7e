"""Examples of plain Keras learn and compare, on every backend."""

import keras
import numpy as np
import pytest

pytest.importorskip("polars")  # of the package's extra `train`


def test_quickstart(example, tmp_path, capsys):
    made = example(
        "quickstart", "--rows 40000 --users 1000 --items 200", tmp_path
    )
    aucs = made["aucs"]
    assert aucs.keys() == {"full", "robe", "low rank"}
    assert min(aucs.values()) > 0.6
    assert max(aucs.values()) < made["test"].bayes_auc
    some = made["some"]
    np.testing.assert_array_equal(
        made["loaded"].predict_on_batch(some),
        made["model"].predict_on_batch(some),
    )
    printed = capsys.readouterr().out
    assert all(f"{auc:.4f}" in printed for auc in aucs.values())


def test_swap_embeddings(example):
    made = example(
        "swap_embeddings", "--rows 40000 --users 1000 --items 200 --epochs 3"
    )
    aucs = made["aucs"]
    assert aucs["as it is"] > 0.65
    assert aucs["converted, tuned"] > aucs["converted"] - 0.005
    assert min(aucs.values()) > 0.6
    assert made["report"].compression >= 9.9
    for name in ("users", "items"):
        for model in (made["small"], made["copy"]):
            assert type(model.get_layer(name)).__name__ == "ROBEEmbedding"


def test_two_tower(example, tmp_path):
    made = example(
        "two_tower",
        "--rows 40000 --users 1000 --items 200 --epochs 8",
        tmp_path,
    )
    recalls = made["recalls"]
    popular = recalls["popularity"][9]
    assert recalls["full"][9] > popular + 0.05
    assert recalls["robe 2x"][9] > popular + 0.05
    towers = made["model"].user_tower, made["model"].item_tower
    first, second = (tower.layers[0].memory for tower in towers)
    assert first is second
    assert np.load(tmp_path / "items.npy").shape == (200, 32)
    assert (tmp_path / "recall.png").stat().st_size > 1000
    # Recall by sorting all items of each user.
    scores = np.random.default_rng(0).random((1000, 200))
    train = made["train"]
    hits = []
    for user, item in zip(made["held_users"], made["held_items"], strict=True):
        met = set(train.items[train.users == user].tolist())
        ranked = [i for i in np.argsort(-scores[user]) if i not in met]
        hits.append(ranked.index(item) < 10)
    assert made["recall"](scores)[9] == pytest.approx(np.mean(hits))


def test_multi_hot(example):
    made = example(
        "multi_hot", "--rows 40000 --users 1500 --items 150 --epochs 4"
    )
    assert min(made["aucs"].values()) > 0.6
    assert len(made["forms"]) == 1 + (keras.backend.backend() == "tensorflow")
    # A row's own item is not in its history.
    item, history = made["test"][0]["item"], made["test"][0]["history"]
    assert not (history == item[:, None]).any()
    assert ((history >= 0).sum(1) >= 2).all()


def test_movielens_ncf(example, tmp_path):
    made = example(
        "movielens_ncf",
        "--rows 40000 --users 1000 --items 200 --epochs 3",
        tmp_path,
    )
    results = made["results"]
    full_size, full_auc = results["full", "1x"]
    assert full_auc > 0.62
    for (_, budget), (size, auc) in results.items():
        assert size <= full_size / float(budget.removesuffix("x"))
        assert auc > 0.53
    assert results["robe", "3x"][1] > 0.6
    assert (tmp_path / "auc.png").stat().st_size > 1000


def test_open_vocabulary(example):
    made = example("open_vocabulary", "--rows 60000 --users 1000 --items 200")
    # On the last day, only the open vocabulary knows the new items.
    fixed, opened = (made["aucs"][name, 3][1] for name in made["ids"])
    assert opened > fixed + 0.03
    hashes = made["ids"]["open vocabulary"][0]
    assert len(np.unique(hashes)) == len(np.unique(made["users"]))
    assert hashes.min() >= 0
