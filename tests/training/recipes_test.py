"""Recipes: they can be built, they say the paper's numbers, mistakes teach."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_pss.data import prepare
from keras_pss.data.locate import locate, open_click_log
from keras_pss.data.storage.splits import SPLITS, split_rows
from keras_pss.features import (
    Categorical,
    Cross,
    Dense,
    Label,
    Schema,
    Split,
)
from keras_pss.training import recipes, train
from keras_pss.training.build_model import build_model, embedding_parts

pytestmark = pytest.mark.tf_only

# Criteo Kaggle's tables, and sizes like those of Criteo 1TB without ids seen
# fewer than 15 times: the five largest are the review's.
KAGGLE = [
    *[1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683],
    *[8351593, 3194, 27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15],
    *[286181, 105, 142572],
]
LARGE = [8165896, 7912889, 7156453, 5554114, 2675940]
TERABYTE = [*LARGE, *([100_000] * 10), *([500] * 11)]


def compressed(name, cardinalities):
    """The collection that a recipe builds for tables of these sizes."""
    config = recipes.load(name).config()
    parts = embedding_parts(config, cardinalities)
    return parts["embeddings"]


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_whole(name):
    recipe = recipes.load(name)
    assert recipe.name == name
    assert recipe.title
    assert recipe.source
    assert recipe.log
    config = recipe.config(seed=7)
    assert config.seed == 7
    for number in recipe.paper.values():
        assert isinstance(number, int | float)
    assert recipe.paper or name.startswith("tt_rec_kaggle")


def test_the_tables_of_the_papers_are_there():
    names = recipes.names()
    models = ["dlrm", "dcn", "autoint", "deepfm", "xdeepfm", "fibinet"]
    assert {f"criteo_kaggle_1000x/{m}" for m in models} <= set(names)
    assert {f"criteo_tb_mlperf/{x}" for x in ("1000x", "10000x")} <= set(names)
    ranks = [f"{t}-r{r}" for t in (3, 5, 7) for r in (8, 16, 32, 64)]
    assert {f"tt_rec_kaggle/{x}" for x in ranks} <= set(names)
    grid = ["r8-p1", "r8-p2", "r8-p4", "r16-p2", "r16-p4"]
    assert {f"fpd_criteo_tb/{x}" for x in grid} <= set(names)
    assert names.index("tt_rec_kaggle/3-r8") < names.index(
        "tt_rec_kaggle/3-r16"
    )


@pytest.mark.parametrize("rank", [16, 32, 64])
@pytest.mark.parametrize("tables", [3, 5, 7])
def test_tensor_trains_have_the_papers_sizes(tables, rank):
    name = f"tt_rec_kaggle/{tables}-r{rank}"
    layer = compressed(name, KAGGLE)
    cores = sum(part.budget_size() for part in layer.single)
    paper = recipes.load(name).paper
    assert cores == paper["parameters of the tensor trains"]
    assert len(layer.single) == tables


@pytest.mark.parametrize(
    "variant", ["r8-p1", "r8-p2", "r8-p4", "r16-p2", "r16-p4"]
)
def test_products_of_digits_have_the_reviews_sizes(variant):
    name = f"fpd_criteo_tb/{variant}"
    layer = compressed(name, TERABYTE)
    assert [part.input_dim for part in layer.single] == LARGE
    mib = sum(part.budget_size() for part in layer.single) * 4 / 2**20
    paper = recipes.load(name).paper
    assert mib == pytest.approx(paper["MiB of five tables"], abs=3e-4)


def test_robe_is_a_thousandth():
    layer = compressed("criteo_kaggle_1000x/dcn", KAGGLE)
    assert layer.full is None  # all tables share one memory, as in the paper
    assert layer.budget_size() == 540_000
    assert sum(KAGGLE) * 16 / layer.budget_size() == pytest.approx(1000, 1e-3)
    for factor, name in ((1000, "1000x"), (10_000, "10000x")):
        config = recipes.load(f"criteo_tb_mlperf/{name}").config()
        # 104 GB of tables with at most 40 million rows; the paper's 108 MB.
        assert config.budget == pytest.approx(204e6 * 128 / factor, rel=0.04)
        parts = embedding_parts(config, [None] * 26)
        assert parts["embeddings"].budget_size() == config.budget


# From the benchmark's logs: ids in all tables, rows of a table for each of
# them, fields, and the parameters of the whole model. Its models of MovieLens
# have 3 batch normalizations of 400 columns, with 2 parameters each. Its CIN
# has 192 biases, and its xDeepFM a second one at the output.
AVAZU, TAGS, NORMS, BIASES = 3_750_975, 90_239, 3 * 2 * 400, 192 + 1


@pytest.mark.parametrize(
    ("name", "ids", "columns", "fields", "parameters"),
    [
        ("avazu_x4_001/deepfm", AVAZU, 16 + 1, 24, 76_544_576),
        ("avazu_x4_001/dcnv2", AVAZU, 16, 24, 73_385_345),
        ("movielenslatest_x1/deepfm", TAGS, 10 + 1, 3, 1_328_630 - NORMS),
        ("movielenslatest_x1/dcn", TAGS, 10, 3, 1_238_661 - NORMS),
        ("movielenslatest_x1/dcnv2", TAGS, 10, 3, 1_243_071 - NORMS),
        ("movielenslatest_x1/xdeepfm", TAGS, 10 + 1, 3, 1_351_767 - BIASES),
    ],
)
def test_models_have_the_benchmarks_parameters(
    name, ids, columns, fields, parameters
):
    config = recipes.load(name).config()
    model = build_model(config, [10] * fields, num_dense=0)
    more = (ids - 10 * fields) * columns
    assert model.count_params() + more == parameters


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["001", "002"])
def test_avazu_is_set_as_in_the_benchmark(variant):
    schema = recipes.load(f"avazu_x4_{variant}/deepfm").schema
    preset = Schema.load("avazu")
    assert len(schema.single) == 24
    assert schema.columns == preset.columns
    assert {f.min_count for f in schema.features} == {3 - int(variant)}
    assert schema.split.by == "random"
    parts = parts_of(schema.split, 40_428_967)
    assert parts == pytest.approx([32_343_172, 4_042_897, 4_042_898], abs=1)


def test_movielens_tags_are_set_as_in_the_benchmark():
    recipe = recipes.load("movielenslatest_x1/dcn")
    assert recipe.schema == Schema.load("movielens_tags")
    assert recipe.settings == {"schema": recipe.schema.to_dict()}
    names = [feature.name for feature in recipe.schema.single]
    assert names == ["user_id", "item_id", "tag_id"]
    parts = parts_of(recipe.schema.split, 2_006_859)
    assert parts == pytest.approx([1_404_801, 401_372, 200_686], abs=1)


def parts_of(split, rows):
    parts = split_rows(rows, "random", split.test, split.validation, 1)
    return [len(parts[name]) for name in SPLITS]


AVAZU_HEAD = (
    "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,"
    "app_domain,app_category,device_id,device_ip,device_model,device_type,"
    "device_conn_type,C14,C15,C16,C17,C18,C19,C20,C21"
)


@pytest.fixture
def avazu(tmp_path):
    random = np.random.default_rng(0)
    lines = [AVAZU_HEAD]
    for row in range(400):
        ids = random.integers(0, 9, 21)
        click = int(random.random() < 0.2 + 0.06 * ids[0])
        hour = f"141021{row * 24 // 400:02}"
        lines.append(",".join(map(str, [row, click, hour, *ids])))
    path = tmp_path / "train.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
def test_a_recipe_prepares_the_log_of_its_schema(
    avazu, tmp_path, plain_exports
):
    recipe = recipes.load("avazu_x4_001/dcn")
    found = locate(avazu, tmp_path / "run", settings=recipe.settings)
    log = open_click_log(found.path)
    recipe.check_log(log)
    sizes = [log.rows(split) for split in ("train", "validation", "test")]
    assert sizes == [320, 40, 40]
    narrow = {"hidden_units": [8]}
    config = recipe.config(epochs=1, batch_size=64, model_options=narrow)
    notes = recipe.notes_of_report()
    report = train(log, config, tmp_path / "run", verbose=0, notes=notes)
    assert report["recipe"] == "avazu_x4_001/dcn"
    assert report["paper"]["test AUC"] == pytest.approx(0.7931, abs=1e-4)
    # The same command takes the prepared rows, and a prepared folder.
    again = locate(avazu, tmp_path / "run", settings=recipe.settings)
    assert (again.path, again.prepared) == (found.path, None)
    assert not locate(
        found.path, tmp_path, settings=recipe.settings
    ).differences
    other = recipes.load("avazu_x4_002/deepfm").settings
    (difference,) = locate(found.path, tmp_path, settings=other).differences
    assert difference.endswith(
        "was prepared with min_count=2 of 21 features, such as C1, the recipe "
        "has 1"
    )
    prepare([avazu], tmp_path / "by_time", "avazu")
    folder = tmp_path / "by_time"
    (difference,) = locate(
        folder, tmp_path, settings=recipe.settings
    ).differences
    assert "split={'by': 'time', 'test': 0.1, " in difference
    assert "the recipe has {'by': 'random', " in difference


def test_a_recipe_refuses_rows_of_another_schema(avazu, tmp_path):
    recipe = recipes.load("movielenslatest_x1/dcn")
    with pytest.raises(
        ValueError, match=r"no 'user_id'.*Received: the columns"
    ):
        locate(avazu, tmp_path / "run", settings=recipe.settings)
    with pytest.raises(ValueError, match="generated rows are in Criteo's fo"):
        locate("synthetic", tmp_path / "run", settings=recipe.settings)
    log = open_click_log(locate(avazu, tmp_path / "a", schema="avazu").path)
    with pytest.raises(ValueError, match=r"is for train.csv, valid.csv and"):
        recipe.check_log(log)
    likes = tmp_path / "likes.csv"
    rows = "".join(f"1,{i},{i % 2}\n" for i in range(9))
    likes.write_text(f"user_id,movie_id,like\n{rows}")
    with pytest.raises(ValueError, match=r"is for train.csv, valid.csv and"):
        recipe.check_log(open_click_log(likes))


def test_a_recipe_of_ones_own_schema(tmp_path):
    schema = Schema(
        [
            Categorical("a"),
            Categorical("b", ids="hash", buckets=9),
            Dense("x"),
            Cross("ab", ("a", "b"), ids="vocabulary"),
        ],
        label=Label("y"),
        split=Split("random", test=0.3),
    )
    schema.save(tmp_path / "mine.toml")
    path = tmp_path / "recipe.toml"
    text = f'title = "x"\nschema = "{tmp_path}/mine.toml"\n'
    path.write_text(text)
    assert recipes.load(str(path)).schema == schema
    path.write_text(text + "[prepare]\nmin_count = 3\n")
    found = recipes.load(str(path)).schema
    assert (found["a"].min_count, found["ab"].min_count) == (3, 3)
    assert (found["b"], found["x"]) == (schema["b"], schema["x"])
    assert found.split == schema.split


def test_a_recipe_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'title = "mine"\ndata = "criteo"\n[run]\nbudget = "none"\n'
        'method = "robe"\n'
        "options = { memory_size = 900 }\n[prepare]\nmin_count = 2\n"
    )
    recipe = recipes.load(str(path))
    assert recipe.config().budget is None
    assert recipe.prepare == {"min_count": 2}
    path.write_text(
        path.read_text() + '[variants.a]\nrun = { model = "dcn" }\n'
        "[variants.b]\npaper = { AUC = 0.8 }\n"
    )
    assert recipes.load(f"{path}/a").config().model == "dcn"
    assert recipes.load(f"{path}/b").paper == {"AUC": 0.8}
    with pytest.raises(ValueError, match=r"must be one of .*mine\.toml/a, "):
        recipes.load(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "must be TOML"),
        ('titel = "x"', "a recipe has title, data, schema, log"),
        ('data = "criteo"', "`title` must say what is run"),
        ('title = "x"\ndata = "avazu"', "`data` must be one of criteo, mov"),
        ('title = "x"', "movielens; for other logs, name their `schema`"),
        (
            'title = "x"\ndata = "criteo"\nschema = "avazu"',
            "`schema` takes the place of `data`",
        ),
        ('title = "x"\nschema = 3', "`schema` must be a string"),
        ('title = "x"\nschema = "avasu"', "mine.toml: A schema must be one o"),
        (
            'title = "x"\nschema = "avazu"\n[prepare]\nids = "hash"',
            r"\[prepare\] takes min_count, split. Received: 'ids'",
        ),
        (
            'title = "x"\nschema = "avazu"\n[prepare]\nsplit = "random"',
            "`split` must be a table",
        ),
        (
            'title = "x"\nschema = "avazu"\n[prepare]\nsplit = {by = "day"}',
            "mine.toml: `by` must be",
        ),
        (
            'title = "x"\nschema = "avazu"\n[prepare]\nmin_count = "2"',
            "mine.toml: `min_count` must be",
        ),
        ('title = "x"\ndata = "criteo"\nrun = 3', r"\[run\] must be a table"),
        ('title = 3\ndata = "criteo"', "`title` must be a string"),
        (
            'title = "x"\ndata = "criteo"\n[prepare]\nseed = 1',
            r"\[prepare\] takes ids, min_count",
        ),
        (
            'title = "x"\ndata = "criteo"\n[run]\nmodels = "dcn"',
            "A run's settings are: model,",
        ),
        (
            'title = "x"\ndata = "criteo"\n[variants.a]\nruns = {}',
            r"\[variants.a\] takes run and paper",
        ),
        (
            'title = "x"\ndata = "criteo"\n[variants.a]\npaper = { AUC = "y" }',
            "must be a number. Received: 'y'",
        ),
    ],
)
def test_mistakes(text, message, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        recipes.load(str(path))


def test_an_unknown_recipe_lists_the_known():
    known = "one of avazu_x4_001, avazu_x4_002, criteo_kaggle_1000x, criteo_tb"
    with pytest.raises(ValueError, match=known):
        recipes.load("criteo_kagle/dcn")
    with pytest.raises(ValueError, match="must be one of criteo_tb_mlperf/1"):
        recipes.load("criteo_tb_mlperf/100x")


def test_changes_take_the_place_of_a_recipes_settings():
    settings = {
        "method": "tt",
        "options": {"rank": 2, "gauge": "last_core"},
        "model": "dcn",
        "model_options": {"num_cross": 2},
        "min_rows": 40,
    }

    def after(**changes):
        found = recipes.changed(settings, changes)
        return [found[name] for name in ("options", "model_options")]

    assert recipes.changed(settings, {}) == settings
    # Arguments are joined where the method stays, and dropped with it.
    assert after(options={"rank": 3})[0] == {"rank": 3, "gauge": "last_core"}
    assert after(method="qr")[0] == {}
    assert after(method="tt", options={"rank": 3})[0] == {"rank": 3}
    assert after(model="dlrm") == [settings["options"], {}]
    found = recipes.changed(settings, {"compress_largest": 3})
    assert (found["min_rows"], found["compress_largest"]) == (None, 3)


WITH_SCHEMA = """title = "x"
schema = "avazu"
[prepare]
min_count = 2
split = { by = "random", test = 0.1 }
[run]
model = "dcn"
"""
SOUND = """title = "x"
data = "criteo"
[prepare]
min_count = 2
[run]
model = "dcn"
options = { block_size = 4 }
model_options = { num_cross = 2, hidden_units = [8, 4] }
[variants.a]
run = { budget = "10x", epochs = 3, learning_rate = 0.1 }
paper = { AUC = 0.8 }
"""


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([SOUND, WITH_SCHEMA]),
    st.integers(0, len(SOUND)),
    st.integers(0, 12),
    st.sampled_from(["", "3", '"', "[", "{}", "=", "true", "\n", "-1", '"a"']),
)
def test_a_damaged_file_is_sound_or_a_value_error(text, at, cut, put):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.toml"
        path.write_text(text[:at] + put + text[at + cut :])
        try:
            recipe = recipes.load(str(path))
        except ValueError:
            return
        assert recipe.config(seed=1).seed == 1
