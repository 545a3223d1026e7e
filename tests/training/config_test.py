"""A run's settings: their words, what is kept of them, and what is refused."""

import json
from typing import get_args

import pytest

from keras_pss.layers.embedding.methods import METHODS
from keras_pss.models.by_name import MODELS
from keras_pss.optimizers.warmup_decay import DECAYS
from keras_pss.training.build_optimizer import OPTIMIZERS
from keras_pss.training.config import LEARNING_RATES, RunConfig
from keras_pss.training.settings import Settings, _method_strings

pytestmark = pytest.mark.tf_only


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "dlmr"}, "`model` must be 'dlrm', 'dcn', 'dcnv2'"),
        ({"model_options": {"units": 3}}, "`model_options` of model='dlrm'"),
        ({"decay": "cosinus"}, "`decay` must be 'constant', 'cosine'"),
        ({"precision": "half"}, "`precision` must be 'float32'"),
        ({"clip_norm": 0.0}, "`clip_norm` must be greater than 0. Rec"),
        (
            {"warmup_steps": -1},
            "`warmup_steps` must be greater than or",
        ),
        (
            {"evaluations": 0},
            "`evaluations` must be greater than or",
        ),
        ({"decay_steps": 9}, "`decay_steps` needs a `decay`"),
        ({"decay": "exponential"}, "end_learning_rate"),
        ({"min_rows": 9, "compress_largest": 3}, "replaces `min_rows`: give"),
        (
            {"method": "robe", "budget": None},
            "must give the size of a table: `memory_size`",
        ),
        ({"budget": None}, "method='auto' divides a budget. Give a `budget`"),
        ({"options": {"rank": 3}}, "Name a `method` to set its options"),
        (
            {"optimizer": "sdg"},
            "'rowwise_adagrad' or 'lazy_sgd'. Rec",
        ),
        ({"network_learning_rate": 0.1}, "needs an optimizer of the tables"),
        ({"method": "rob"}, "`method` must be one of 'full', 'robe'"),
        ({"budget": "0x"}, "`budget` must be a ratio"),
        ({"epochs": 0}, "`epochs` must be greater than or equal to 1"),
        ({"batch_size": -2}, "`batch_size` must be greater than or"),
        ({"learning_rate": 0.0}, "`learning_rate` must be greater than 0"),
        ({"embedding_scale": -1.0}, "must be greater than 0 or 'rows'"),
        ({"embedding_scale": "row"}, "must be a valid number or 'rows'. Rec"),
        ({"monitor": "loss"}, "`monitor` must be 'auc' or 'logloss'"),
        ({"jit_compile": 1}, "`jit_compile` must be a valid boolean or 'auto'"),
        ({"speed": 1}, "A run's settings are: model, model_options"),
        ({"min_rows": 2.0}, "`min_rows` must be a valid integer"),
        (
            {"epochs": "3"},
            "must be a valid integer. Received: epochs=",
        ),
        ({"epochs": 2.5}, "`epochs` must be a valid integer"),
        ({"dim": True}, "`dim` must be a valid integer"),
        ({"seed": None}, "`seed` must be a valid integer"),
        ({"learning_rate": "1"}, "`learning_rate` must be a valid number"),
        (
            {"learning_rate": float("nan")},
            "`learning_rate` must be a finite num",
        ),
        ({"options": 3}, "`options` must be a valid dictionary"),
        ({"model": None}, "`model` must be 'dlrm', 'dcn'"),
    ],
)
def test_config_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        RunConfig(**arguments)


def test_a_settings_words_are_those_that_are_known():
    def words(name):
        return get_args(Settings.model_fields[name].annotation)

    assert words("model") == tuple(MODELS)
    assert _method_strings() == list(METHODS)
    assert words("decay") == DECAYS
    assert set(words("optimizer")) == set(OPTIMIZERS) == set(LEARNING_RATES)


def test_every_setting_has_a_text_and_a_default():
    for name, field in Settings.model_fields.items():
        assert field.description.endswith("."), name
        assert not field.is_required(), name


def test_settings_are_kept_as_they_are_given():
    config = RunConfig(learning_rate=1, options={"seed": 3}, min_rows=7)
    kept = config.as_dict()
    assert type(kept["learning_rate"]) is int  # as its JSON was and is
    assert RunConfig.of(json.loads(json.dumps(kept))) == config
    kept["options"]["seed"] = 4
    assert config.options == {"seed": 3}
    with pytest.raises(ValueError, match="frozen"):
        config.dim = 3
