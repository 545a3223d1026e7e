"""Click logs of every kind as a run reads them."""

import hashlib

import numpy as np
import pytest
from runs import changed

from keras_pss.data import criteo
from keras_pss.data.locate import as_click_log, open_click_log
from keras_pss.training.config import RunConfig
from keras_pss.training.evaluation import evaluate
from keras_pss.training.run import train

pytestmark = pytest.mark.tf_only


def test_likes_of_movies_train_too(likes, tmp_path):
    rows = likes
    config = RunConfig(
        model="neuralcf", method="full", epochs=2, batch_size=64, dim=4
    )
    report = train(rows, config, tmp_path / "run", verbose=0)
    assert report["embedding_params"] == 2 * 4 * (60 + 40)
    assert report["rows"] == 60 * 3
    content = (tmp_path / "likes.csv").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert report["sources"] == [{"name": "likes.csv", "sha256": digest}]
    with pytest.raises(ValueError, match="a run on a prepared log"):
        evaluate(tmp_path / "run", [])
    with pytest.raises(ValueError, match="`min_count` needs ids that are"):
        train(
            rows,
            changed(config, min_count=2),
            tmp_path / "filtered",
        )


@pytest.fixture
def likes(tmp_path):
    """A file of likes that movies and users agree on."""
    random = np.random.RandomState(0)
    lines = ["user_id,movie_id,like"]
    for user in range(60):
        for movie in random.permutation(40)[:30]:
            lines.append(f"{user},{movie},{(user + movie) % 3 // 2}")
    (tmp_path / "likes.csv").write_text("\n".join(lines) + "\n")
    return open_click_log(tmp_path / "likes.csv")


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
