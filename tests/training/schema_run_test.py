"""Runs on a log with a schema: lists, shared tables, new rows."""

import gzip
import json
import shutil

import keras
import numpy as np
import polars as pl
import pytest
import shop_log
from sklearn.metrics import roc_auc_score

from keras_pss import data
from keras_pss.data.encoders.row_encoder import RowEncoder
from keras_pss.data.locate import as_click_log
from keras_pss.data.pipelines.file_batches import file_dataset
from keras_pss.data.readers.block import BrokenRowError
from keras_pss.data.storage import encoder_folder
from keras_pss.features import Categorical, Dense, Schema
from keras_pss.planning import memory_report
from keras_pss.training.config import RunConfig
from keras_pss.training.finished.evaluation import evaluate
from keras_pss.training.finished.finished_run import load_model
from keras_pss.training.finished.predict import predict
from keras_pss.training.fit import limits, model_for
from keras_pss.training.run import train

pytestmark = pytest.mark.tf_only

CONFIG = RunConfig(
    model="deepfm",
    model_options={"hidden_units": [8]},
    method="robe",
    budget="2x",
    min_rows=25,
    dim=4,
    epochs=1,
    batch_size=128,
    jit_compile=False,  # other runs are compiled
)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    path = shop_log.write(folder / "shop.csv", 800)
    return data.prepare(path, folder / "prepared", shop_log.SCHEMA)


@pytest.fixture(scope="module")
def run(log):
    out = log.directory.parent / "run"
    train(log, CONFIG, out, verbose=0)
    return out


def features_of(batches):
    """The batches' features as whole arrays, and their labels."""
    features, labels = zip(*batches, strict=True)
    names = features[0]
    whole = {k: np.concatenate([f[k] for f in features]) for k in names}
    return whole, np.concatenate(labels)


def test_new_rows_are_encoded_as_prepared_ones(log):
    """Against the records, which another path has written."""
    parts = [
        features_of(data.dataset(log, split, shuffle=False))
        for split in log.splits
    ]
    source = log.directory.parent / "shop.csv"
    found, labels = features_of(
        file_dataset(source, log, batch_size=100, on_rejects=pytest.fail)
    )
    assert set(found) == {
        "dense",
        "categorical",
        "viewed",
        "tags",
        "tags_weights",
    }
    for name, values in found.items():
        wanted = np.concatenate([part[name] for part, _ in parts])
        np.testing.assert_array_equal(values, wanted, name)
    np.testing.assert_array_equal(labels, np.concatenate([y for _, y in parts]))


def test_an_encoder_is_saved_with_the_run(log, run):
    found = encoder_folder.load(run / "encoder")
    assert found.schema == shop_log.SCHEMA
    assert found.tables == log.tables
    texts = pl.DataFrame({"unseen": ["u1", "nobody", ""]})["unseen"]
    wanted = RowEncoder(log)._vocabularies["user"](texts)
    np.testing.assert_array_equal(
        RowEncoder(found)._vocabularies["user"](texts), wanted
    )
    assert wanted[0] > 0
    assert not wanted[1:].any()


def test_a_damaged_encoder_is_refused(run, tmp_path):
    encoding = encoder_folder.load(run / "encoder")
    encoder_folder.save(encoding, tmp_path / "encoder")
    text = tmp_path / "encoder" / "encoder.json"
    text.write_text(text.read_text().replace('"rows": 50', '"rows": 51'))
    with pytest.raises(ValueError, match="must be written by a run"):
        encoder_folder.load(tmp_path / "encoder")
    text.unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold an encoder\.json"):
        encoder_folder.load(tmp_path / "encoder")


def test_evaluate_gives_the_metrics_of_predicted_rows(run, tmp_path):
    new = shop_log.write(tmp_path / "new.csv", 300, seed=1)
    metrics = evaluate(run, [new])
    assert metrics.rows == 300
    for name in ("found.parquet", "found.csv"):
        assert predict(run, new, tmp_path / name) == 300
    found = pl.read_parquet(tmp_path / "found.parquet")
    assert found.columns == ["row", "probability"]
    assert found["row"].to_list() == [f"r{i}" for i in range(300)]
    text = pl.read_csv(tmp_path / "found.csv")
    np.testing.assert_allclose(
        text["probability"], found["probability"], rtol=1e-6
    )
    model, encoding = load_model(run), encoder_folder.load(run / "encoder")
    batches = file_dataset(new, encoding, on_rejects=pytest.fail)
    wanted = np.concatenate([model(x)[:, 0] for x, _ in batches])
    np.testing.assert_allclose(found["probability"], wanted, atol=1e-6)
    labels = np.concatenate([y for _, y in batches])
    loss = keras.losses.BinaryCrossentropy()(labels, wanted)
    assert metrics.logloss == pytest.approx(float(loss), abs=1e-5)


def by_hand(labels, scores, users):
    """gAUC and the groups and rows that count, one user after the other."""
    found = []
    for user in set(users):
        own = users == user
        if len(set(labels[own])) == 2:
            found.append((roc_auc_score(labels[own], scores[own]), own.sum()))
    aucs, rows = zip(*found, strict=True)
    return np.average(aucs, weights=rows), len(found), sum(rows)


def test_the_report_has_the_auc_of_each_users_rows(log, run):
    report = json.loads((run / "report.json").read_text())
    model = load_model(run)
    batches = data.dataset(log, "test")
    scores = np.concatenate([model(x)[:, 0] for x, _ in batches])
    labels = np.concatenate([y for _, y in batches])
    rows = pl.read_csv(log.directory.parent / "shop.csv", infer_schema=False)
    users = rows["user"].to_numpy()[-len(labels) :]
    assert len(set(users)) > 10
    gauc, groups, counted = by_hand(labels, scores, users)
    assert report["gauc"] == pytest.approx(gauc, abs=1e-6)
    assert report["gauc"] != report["auc"]
    assert (report["gauc_groups"], report["gauc_rows"]) == (groups, counted)
    numbers = log.groups("test")
    assert numbers.dtype == np.int32
    same = users[:, None] == users
    np.testing.assert_array_equal(numbers[:, None] == numbers, same)


def test_groups_of_new_rows(run, tmp_path):
    """Blocks of several files, with users that the run has not seen."""
    files = [
        shop_log.write(tmp_path / f"{seed}.csv", 200, seed=seed)
        for seed in (1, 2)
    ]
    text = files[1].read_text()
    files[1].write_text(text.replace(",u1,", ",unseen,"))
    encoding = encoder_folder.load(run / "encoder")
    batches = file_dataset(
        files, encoding, batch_size=70, groups=True, on_rejects=pytest.fail
    )
    _, labels, numbers = zip(*batches, strict=True)
    numbers = np.concatenate(numbers)
    users = pl.concat(pl.read_csv(f, infer_schema=False) for f in files)["user"]
    users = users.to_numpy()
    assert "unseen" in users
    same = users[:, None] == users
    np.testing.assert_array_equal(numbers[:, None] == numbers, same)
    predict(run, files, tmp_path / "found.parquet")
    scores = pl.read_parquet(tmp_path / "found.parquet")["probability"]
    gauc, groups, rows = by_hand(
        np.concatenate(labels), scores.to_numpy(), users
    )
    for size in (64, 2048):
        found = evaluate(run, files, size).by_group
        assert found.gauc == pytest.approx(gauc, abs=1e-6)
        assert (found.groups, found.rows) == (groups, rows)


def test_groups_are_no_inputs_of_a_model(log, run):
    for named in (False, True):
        element = data.dataset(log, "test", named=named).element_spec
        assert len(element) == 2
        assert not any("group" in name for name in element[0])
    names = {x.name for x in load_model(run).inputs}
    assert names == set(data.dataset(log).element_spec[0])


def test_a_schema_without_a_group_has_no_groups(log, tmp_path):
    content = log.schema.to_dict()
    del content["group"]
    schema = Schema.from_dict(content)
    source = log.directory.parent / "shop.csv"
    bare = data.prepare(source, tmp_path / "prepared", schema)
    with pytest.raises(ValueError, match=r"needs a group.*prepare the data"):
        bare.groups("test")
    assert as_click_log(bare).groups("test") is None
    assert as_click_log(log).groups("test") is not None


def test_rows_without_labels_are_predicted(run, tmp_path):
    new = shop_log.write(tmp_path / "new.csv", 50, seed=1)
    bare = tmp_path / "bare.csv"
    lines = new.read_text().splitlines()
    bare.write_text("\n".join(x.rpartition(",")[0] for x in lines))
    assert predict(run, new, tmp_path / "a.parquet") == 50
    assert predict(run, bare, tmp_path / "b.parquet") == 50
    first = pl.read_parquet(tmp_path / "a.parquet")
    assert first.equals(pl.read_parquet(tmp_path / "b.parquet"))


def test_a_broken_row_has_no_prediction(run, tmp_path):
    new = shop_log.write(tmp_path / "new.csv", 20)
    lines = new.read_text().splitlines()
    lines[4] = lines[4].replace("17000", "then ")
    new.write_text("\n".join(lines))
    broken = []
    out = tmp_path / "out.csv"
    assert predict(run, new, out, on_rejects=broken.extend) == 19
    assert [reject.line for reject in broken] == [5]
    assert "r3" not in out.read_text()


def test_mistakes_of_predict(run, log, tmp_path):
    source = log.directory.parent / "shop.csv"
    with pytest.raises(ValueError, match=r"end in \.parquet or \.csv"):
        predict(run, source, tmp_path / "out.txt")
    (tmp_path / "there.csv").touch()
    with pytest.raises(ValueError, match="exists"):
        predict(run, source, tmp_path / "there.csv")


FILTERED = RunConfig.of(
    {**CONFIG.as_dict(), "method": "full", "min_count": 105}
)


@pytest.mark.parametrize(
    ("least", "filtered"), [(23, {"user"}), (105, {"user", "item", "hour"})]
)
def test_a_filter_keeps_the_frequent_ids_of_each_table(log, least, filtered):
    """By counts of the raw texts; tables that were not counted stay whole."""
    config = RunConfig.of({**FILTERED.as_dict(), "min_count": least})
    found = limits(config, as_click_log(log))
    rows = pl.read_csv(log.directory.parent / "shop.csv", infer_schema=False)
    rows = rows[: log.rows("train") + log.rows("validation")]
    viewed = rows["viewed"].fill_null("").str.split(" ").list.head(3)
    texts = {
        "user": rows["user"],
        "item": pl.concat([rows["item"], viewed.explode()]),
        "tags": rows["tags"]
        .fill_null("")
        .str.split("|")
        .list.head(2)
        .explode(),
        "hour": rows["at"].cast(pl.Int64) // 3600 % 24,
    }
    wanted = {}
    for table, values in texts.items():
        counts = values.filter(values.cast(str) != "").value_counts()["count"]
        wanted[table] = 1 + (counts >= least).sum()
    assert filtered == {k for k, n in wanted.items() if n < log.tables[k]}
    assert found == {**wanted, "age": log.tables["age"], "user_hour": 50}
    assert list(found) == list(log.tables)
    assert limits(CONFIG, as_click_log(log)) is None


def shares_the_first_row(model, log, limit):
    """Whether items from `limit` on are answered as item 0."""
    features = next(iter(data.dataset(log, "test")))[0]
    rare = {k: v.numpy() for k, v in features.items()}
    # The second single-valued feature is the item, as is each viewed one.
    assert (rare["categorical"][:, 1] >= limit).any()
    assert (rare["viewed"] >= limit).any()
    shared = dict(rare)
    for name in ("categorical", "viewed"):
        ids = rare[name].copy()
        own = ids[:, 1] if name == "categorical" else ids
        own[own >= limit] = 0
        shared[name] = ids
    found, wanted = (
        keras.ops.convert_to_numpy(model(x)) for x in (rare, shared)
    )
    return np.array_equal(found, wanted)


def test_a_model_with_a_filter(log):
    rows = as_click_log(log)
    kept = limits(FILTERED, rows)
    assert kept["item"] > 1
    model = model_for(rows, FILTERED)
    assert shares_the_first_row(model, log, kept["item"])
    assert not shares_the_first_row(model_for(rows, CONFIG), log, kept["item"])
    size = FILTERED.dim + 1  # the first-order weights have one column
    report = memory_report(model).total
    assert report.parameters == size * sum(kept.values())


@pytest.mark.slow
def test_a_run_with_a_filter(log, tmp_path):
    report = train(log, FILTERED, tmp_path / "run", verbose=0)
    kept = limits(FILTERED, as_click_log(log))
    size = FILTERED.dim + 1
    assert report["embedding_params"] == size * sum(kept.values())
    assert report["full_params"] == size * sum(log.tables.values())
    model = load_model(tmp_path / "run")
    assert shares_the_first_row(model, log, kept["item"])
    new = shop_log.write(tmp_path / "new.csv", 100, seed=1)
    assert evaluate(tmp_path / "run", [new]).rows == 100
    assert predict(tmp_path / "run", new, tmp_path / "out.csv") == 100


POPULAR = RunConfig.of(
    {**CONFIG.as_dict(), "method": "popularity", "budget": "10x"}
    | {"min_rows": None}
)


def test_the_most_frequent_ids_of_all_tables_get_rows(log):
    rows = as_click_log(log)
    model = model_for(rows, POPULAR)
    assert memory_report(model).total.compression >= 10
    counts = {
        name: rows.table_counts(name)
        if name in rows.counted_tables()
        else np.full(size, (log.rows("train") + log.rows("validation")) // size)
        for name, size in log.tables.items()
    }
    layer = model.get_layer("embeddings")
    kept = dict(zip(log.tables, layer.options["num_rows"], strict=True))
    inside = [c for t, n in kept.items() for c in counts[t][1:n]]
    outside = [c for t, n in kept.items() for c in counts[t][n:]]
    assert min(inside) >= max(*outside, 10)


@pytest.mark.slow
def test_a_run_with_rows_by_popularity(log, tmp_path):
    report = train(log, POPULAR, tmp_path / "run", verbose=0)
    assert report["compression"] >= 10
    layer = load_model(tmp_path / "run").get_layer("embeddings")
    made = model_for(as_click_log(log), POPULAR).get_layer("embeddings")
    kept, wanted = (x.options["num_rows"] for x in (layer, made))
    assert list(kept) == list(wanted)
    new = shop_log.write(tmp_path / "new.csv", 100, seed=1)
    assert evaluate(tmp_path / "run", [new]).rows == 100


def test_a_budget_is_relative_to_the_tables_before_the_filter(log):
    config = RunConfig.of(
        {**CONFIG.as_dict(), "model": "dlrm", "model_options": {}}
        | {"min_count": 30, "budget": "10x", "min_rows": None}
    )
    rows = as_click_log(log)
    model = model_for(rows, config)
    report = memory_report(model).total
    whole = config.dim * sum(log.tables.values())
    assert report.full_parameters == whole
    assert 0.9 * whole / 10 < report.parameters <= whole / 10


def test_a_filter_needs_counted_tables(log, tmp_path):
    source = log.directory.parent / "shop.csv"
    for name, buckets, message in (
        ("hashed", 50, r"open tables \[\], counted tables \[\]"),
        ("opened", None, r"open tables \['tag'\], counted tables \['user'\]"),
    ):
        tag = Categorical("tag", "tags", ids="hash", buckets=buckets)
        others = [] if buckets else [Categorical("user")]
        schema = Schema([*others, tag], label=log.schema.label)
        other = data.prepare(source, tmp_path / name, schema)
        with pytest.raises(ValueError, match=message):
            limits(FILTERED, as_click_log(other))


def test_a_filter_of_a_log_without_named_tables(log, tmp_path):
    age = Dense("age", transform="buckets", num_buckets=4)
    schema = Schema([Categorical("user"), age], label=log.schema.label)
    source = log.directory.parent / "shop.csv"
    other = data.prepare(source, tmp_path / "prepared", schema)
    kept = limits(FILTERED, as_click_log(other))
    assert kept == (limits(FILTERED, as_click_log(log))["user"], 5)
    model = model_for(as_click_log(other), FILTERED)
    assert model(next(iter(data.dataset(other)))[0]).shape[1] == 1


def test_a_row_without_a_key_must_not_be_broken(run, tmp_path):
    """Nothing would tell which row is missing."""
    keyless = shutil.copytree(run, tmp_path / "run")
    file = keyless / "encoder" / "encoder.json"
    content = json.loads(file.read_text())
    del content["schema"]["keys"]
    file.write_text(json.dumps(content))
    new = shop_log.write(tmp_path / "new.csv", 20)
    out = tmp_path / "out.csv"
    assert predict(keyless, new, out) == 20
    assert out.read_text().startswith("probability\n")
    with open(new, "a") as log:
        log.write("broken\n")
    with pytest.raises(BrokenRowError, match=r"new\.csv.*22"):
        predict(keyless, new, out, overwrite=True)
    assert len(out.read_text().splitlines()) == 21


def test_files_of_another_form_are_named_before_batches_are_made(log, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("user,thing\nu1,i2\n")
    source = log.directory.parent / "shop.csv"
    with pytest.raises(ValueError, match=r"other.csv has no .*the columns"):
        file_dataset([source, other], log, on_rejects=pytest.fail)
    other.write_bytes(gzip.compress(b"user\nu1\n"))
    with pytest.raises(ValueError, match=r"Rename it to other\.csv\.gz"):
        file_dataset([source, other], log, on_rejects=pytest.fail)
