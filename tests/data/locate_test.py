"""A log is found, or generated and prepared, once; it is never another one."""

import pytest

from keras_pss.data import synthetic
from keras_pss.data.locate import locate, name_of

pytestmark = pytest.mark.tf_only


def test_a_log_is_prepared_once(tmp_path):
    log, out = tmp_path / "log.tsv", tmp_path / "out"
    synthetic.generate(log, rows=700, scale=0.001)
    told = []
    found = locate(log, out, progress=lambda *a: told.append(a))
    assert found.path == out / "data"
    assert found.prepared is not None
    assert found.name == name_of(found.path) == "log.tsv"
    assert found.best_auc is None
    assert {stage for _, _, stage in told} == {"read", "count", "write"}
    again = locate(str(log), out)
    assert (again.path, again.prepared) == (found.path, None)
    with pytest.raises(ValueError, match="from another log or with other sett"):
        locate(log, out, settings={"min_count": 2})
    with pytest.raises(ValueError, match="`rows` applies only to data='syn"):
        locate(log, out, rows=9)
    # A prepared folder is taken as it is; what differs is told.
    ready = locate(found.path, out, settings={"split": "random"})
    (difference,) = ready.differences
    assert "split=chronological, the recipe has random" in difference


def test_generated_rows_have_a_best_auc(tmp_path):
    found = locate("synthetic", tmp_path, rows=700, scale=0.001)
    assert found.name == "700 generated rows, scale 0.001"
    assert found.best_auc == pytest.approx(0.8, abs=0.05)
    again = locate("synthetic", tmp_path, rows=700, scale=0.001)
    assert (again.best_auc, again.prepared) == (found.best_auc, None)
    with pytest.raises(ValueError, match="from another log or with other sett"):
        locate("synthetic", tmp_path, rows=701, scale=0.001)
