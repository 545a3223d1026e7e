"""Click logs of every kind as a run reads them."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from runs import changed

from keras_pss.data import criteo
from keras_pss.data.locate import as_click_log, open_click_log
from keras_pss.data.movielens.likes_ids import LikesIds
from keras_pss.training.config import RunConfig
from keras_pss.training.finished.evaluation import evaluate
from keras_pss.training.run import train

pytestmark = pytest.mark.tf_only


CONFIG = RunConfig(
    model="neuralcf",
    method="full",
    epochs=3,
    batch_size=64,
    dim=4,
    jit_compile=False,  # other runs are compiled
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("likes")


@pytest.fixture(scope="module")
def likes_run(likes, folder):
    train(likes, CONFIG, folder / "run", verbose=0)
    return folder / "run"


def test_likes_of_movies_train_too(likes, likes_run, folder, tmp_path):
    report = json.loads((likes_run / "report.json").read_text())
    assert report["embedding_params"] == 2 * 4 * (60 + 40)
    assert report["rows"] == 60 * 3
    content = (folder / "likes.csv").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert report["sources"] == [{"name": "likes.csv", "sha256": digest}]
    with pytest.raises(ValueError, match="`min_count` needs ids that are"):
        train(likes, changed(CONFIG, min_count=2), tmp_path / "filtered")


def rated(part):
    """Lines of ratings.dat, without the rows' order in the log."""
    users, items = part.user_ids[part.users], part.item_ids[part.items]
    return [
        f"{user}::{item}::{4 if like else 3.5}::{1_000_000_000 - row}\n"
        for row, (user, item, like) in enumerate(
            zip(users, items, part.labels, strict=True)
        )
    ]


def told(caplog):
    """What the package says, without TensorFlow's words about tracing."""
    records = [r for r in caplog.records if r.name.startswith("keras_pss")]
    return [record.getMessage() for record in records]


def test_a_run_on_likes_scores_other_files(
    likes, likes_run, folder, tmp_path, caplog
):
    """Its test rows, whose files number fewer users and movies."""
    report = json.loads((likes_run / "report.json").read_text())
    lines = rated(likes.parts["test"])
    for first in (len(lines), 50):
        paths = [tmp_path / "a.dat", tmp_path / "b.dat"]
        paths[0].write_text("".join(lines[:first]))
        paths[1].write_text("".join(lines[first:]))
        paths = [path for path in paths if path.read_text()]
        found = evaluate(likes_run, paths).as_dict()
        for name in ("rows", "auc", "logloss", "calibration"):
            assert found[name] == pytest.approx(report[name], rel=1e-5), name
    assert not told(caplog)
    found = evaluate(likes_run, [folder / "likes.csv"]).as_dict()
    assert found["rows"] == 60 * 30
    (warning,) = told(caplog)
    assert "likes.csv is the file likes.csv that the run was" in warning


def test_rows_that_a_run_on_likes_cannot_score(likes, likes_run, tmp_path):
    lines = rated(likes.parts["test"])
    path = tmp_path / "new.dat"
    for line, new in (
        ("6::2::4::1\n", "user 6"),
        ("9999::2::4::1\n", "user 9999"),
        ("5::4::4::1\n", "movie 4"),
    ):
        path.write_text("".join([*lines, line]))
        with pytest.raises(ValueError, match=f"1 of 181 rows.*as {new}$"):
            evaluate(likes_run, [path])
    path.write_text("5::2::4::1\n5::2::6::1\n")
    with pytest.raises(ValueError, match=r"new.dat:2: must be rating"):
        evaluate(likes_run, [path])
    with pytest.raises(ValueError, match="`sources` must name at least one"):
        evaluate(likes_run, [])


@pytest.mark.parametrize("content", [b"", b"PK\3\4", None])
def test_a_run_on_likes_needs_its_ids(likes, likes_run, tmp_path, content):
    (tmp_path / "test.dat").write_text("".join(rated(likes.parts["test"])))
    run = shutil.copytree(likes_run, tmp_path / "run")
    if content is None:  # as older versions left it
        (run / "encoder").unlink()
    else:
        (run / "encoder").write_bytes(content)
    with pytest.raises(ValueError, match=r"must be (a run on a|the encoder)"):
        evaluate(run, [tmp_path / "test.dat"])


def test_damaged_ids_are_refused(tmp_path):
    path = tmp_path / "encoder"
    for users in ([1.5], [2, 1], [], [[1]]):
        dtype = None if users == [1.5] else np.int64
        LikesIds(np.array(users, dtype), np.array([1])).save(path)
        assert LikesIds.are_in(path)
        with pytest.raises(ValueError, match="must be the ids of a run on M"):
            LikesIds.load(path)


@pytest.fixture(scope="module")
def likes(folder):
    """A file of likes that movies and users agree on."""
    random = np.random.RandomState(0)
    lines = ["user_id,movie_id,like"]
    for user in range(60):
        for movie in random.permutation(40)[:30]:
            like = (user + movie) % 3 // 2
            lines.append(f"{user * 7 + 5},{movie * 3 + 2},{like}")
    (folder / "likes.csv").write_text("\n".join(lines) + "\n")
    return open_click_log(folder / "likes.csv")


def test_streams_go_on_where_they_were_stopped(data, likes):
    for rows in (as_click_log(criteo.load(data / "prepared")), likes):
        size = rows.rows("train") // 13
        epoch = -(-rows.rows("train") // size)
        whole = list(rows.stream(size, 5, 0).take(3 * epoch))
        for batches in (rows.stream(size, 5, 0), rows.in_order("test", size)):
            assert batches.options().autotune.enabled is False
        for skip in (1, epoch, epoch + 2):
            features, labels = next(iter(rows.stream(size, 5, skip)))
            np.testing.assert_array_equal(labels, whole[skip][1])
            for name, value in features.items():
                np.testing.assert_array_equal(value, whole[skip][0][name])
        own = next(iter(rows.stream(size, 5, 1, (1, 2))))
        assert own[2] == size
        np.testing.assert_array_equal(own[1], whole[1][1][size // 2 :])
        # Each epoch has all rows, in an order of its own.
        epochs = [
            np.concatenate(
                [
                    x["categorical"]
                    for x, _ in whole[k * epoch : (k + 1) * epoch]
                ]
            )
            for k in range(3)
        ]
        assert not np.array_equal(epochs[0], epochs[1])
        sort = [e[np.lexsort(e.T)] for e in epochs]
        np.testing.assert_array_equal(sort[0], sort[1])
        np.testing.assert_array_equal(sort[0], sort[2])
