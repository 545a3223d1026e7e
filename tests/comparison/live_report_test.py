"""Reports while cells are trained: not too often, and never an error."""

import logging
from pathlib import Path

import pytest

from keras_pss.comparison import Grid, live_report
from keras_pss.comparison.live_report import LiveReport
from keras_pss.comparison.report import _progress
from keras_pss.comparison.runner import Outcome

pytestmark = pytest.mark.tf_only


def outcome(known, left=0, seconds=None):
    results = {str(k): {} for k in range(known)}
    return Outcome(Grid(), results, {}, {}, "", left, seconds)


@pytest.fixture
def clock(monkeypatch):
    """Time that only reports take; returns it, and the reports' durations."""
    state = {"now": 1000.0, "takes": 1.0, "written": 0}

    def write(*_, **__):
        state["now"] += state["takes"]
        state["written"] += 1

    monkeypatch.setattr(live_report, "write_report", write)
    monkeypatch.setattr(live_report.time, "monotonic", lambda: state["now"])
    return state


def test_reports_are_a_minute_apart(clock):
    report = LiveReport(Path("out"))
    assert not report(outcome(0))
    assert report(outcome(20))
    for later, written in ((59, False), (2, True), (0, False)):
        clock["now"] += later
        assert report(outcome(20)) == written
    assert clock["written"] == 2


def test_the_first_reports_follow_each_other_faster(clock):
    report = LiveReport(Path("out"))
    assert report(outcome(1))
    clock["now"] += 11
    assert report(outcome(2))


def test_reports_take_a_tenth_of_the_time_at_most(clock):
    clock["takes"] = 30.0
    report = LiveReport(Path("out"))
    assert report(outcome(20))
    clock["now"] += 290
    assert not report(outcome(20))
    clock["now"] += 20
    assert report(outcome(20))


def test_a_report_that_fails_does_not_end_the_comparison(
    monkeypatch, caplog, tmp_path
):
    def fails(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(live_report, "write_report", fails)
    with caplog.at_level(logging.WARNING):
        assert LiveReport(tmp_path)(outcome(1))
    assert "could not be written yet: no space left" in caplog.text


def test_an_unfinished_comparison_says_so():
    assert _progress(outcome(3)) == []
    assert _progress(outcome(3, 5)) == [
        "Unfinished: 5 of 8 cells have no result yet."
    ]
    assert _progress(outcome(3, 5, 90.0)) == [
        "Unfinished: 5 of 8 cells have no result yet, which takes about 1.5 "
        "minutes more."
    ]
