"""The options of `train` are the declared settings, with their texts."""

import pytest
import typer

from keras_pss.metrics.click_metrics import Metrics
from keras_pss_cli import train as command
from keras_pss_cli.train import NAMES, SETTINGS, changed


def options():
    app = typer.Typer(add_completion=False)
    app.command()(command.train)
    params = typer.main.get_command(app).params
    return {param.name: param for param in params}


def test_every_setting_has_an_option_with_its_text():
    found = options()
    for name, field in SETTINGS.items():
        option = NAMES.get(name, f"--{name.replace('_', '-')}")
        assert option in found[name].opts
        assert found[name].help.startswith(field.description)
        assert found[name].default in (None, [])
    assert "Default: 16." in found["dim"].help
    assert "One of auc, logloss. Default: auc." in found["monitor"].help
    assert "auto" not in found["jit_compile"].help
    # What is no setting stands beside them.
    own = {"data", "out", "plan", "recipe", "resume", "distribute"}
    own |= {"data_service", "compress_input", "model_parallel"}
    own |= {"rows", "scale", "schema"}
    assert set(found) == own | set(SETTINGS)


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({"dim": None, "jit_compile": None, "options": None}, {}),
        ({"budget": "100x"}, {"budget": "100x"}),
        ({"budget": "5000"}, {"budget": 5000}),
        ({"budget": "none"}, {"budget": None}),
        ({"budget": "²"}, {"budget": "²"}),
        ({"embedding_scale": "rows"}, {"embedding_scale": "rows"}),
        ({"embedding_scale": "0.5"}, {"embedding_scale": 0.5}),
        ({"model": "none"}, {"model": "none"}),
        ({"jit_compile": True, "dim": 8}, {"jit_compile": True, "dim": 8}),
        (
            {"options": ["seed=3", "mapping=fold"]},
            {"options": {"seed": 3, "mapping": "fold"}},
        ),
        ({"model_options": ["l2=0.1"]}, {"model_options": {"l2": 0.1}}),
        (
            {"options": ["a=.5", "b=-.5e-3", "c=2.", "d=.", "e=1.2.3"]},
            {"options": {"a": 0.5, "b": -5e-4, "c": 2, "d": ".", "e": "1.2.3"}},
        ),
    ],
)
def test_words_become_settings(given, settings):
    assert changed(given) == settings


def test_gauc_is_shown_where_it_is_known(capsys):
    labels, scores, users = [0, 1, 0, 1], [0.1, 0.4, 0.3, 0.2], [1, 1, 2, 2]
    report = {
        "model": "dlrm",
        "method": "robe",
        **Metrics.of(labels, scores, users).as_dict(),
        "embedding_params": 10,
        "compression": 2.0,
        "step_ms_median": 1.0,
        "best_epoch": 1,
        "epochs": 1,
    }
    command.show(report)
    shown = capsys.readouterr().out
    assert "gAUC" in shown
    assert "0.7500" in shown  # AUC
    assert "0.5000" in shown
    without = {k: v for k, v in report.items() if not k.startswith("gauc")}
    for others in (without, {**report, "gauc": None}):
        command.show(others)
        assert "gAUC" not in capsys.readouterr().out


def test_other_pairs_name_their_option():
    with pytest.raises(ValueError, match="--model-option must be name=value"):
        changed({"model_options": ["dropout"]})
