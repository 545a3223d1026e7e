"""Recipes: they can be built, they say the paper's numbers, mistakes teach."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_pss.training import recipes
from keras_pss.training.build_model import embedding_parts

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


def test_a_recipe_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'title = "mine"\ndata = "criteo"\n[run]\nbudget = "none"\n'
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
        ('titel = "x"', "a recipe has title, data, log"),
        ('data = "criteo"', "`title` must say what is run"),
        ('title = "x"\ndata = "avazu"', "`data` must be one of criteo, mov"),
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
    with pytest.raises(
        ValueError, match="one of criteo_kaggle_1000x, criteo_tb"
    ):
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
    st.integers(0, len(SOUND)),
    st.integers(0, 12),
    st.sampled_from(["", "3", '"', "[", "{}", "=", "true", "\n", "-1", '"a"']),
)
def test_a_damaged_file_is_sound_or_a_value_error(at, cut, put):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.toml"
        path.write_text(SOUND[:at] + put + SOUND[at + cut :])
        try:
            recipe = recipes.load(str(path))
        except ValueError:
            return
        assert recipe.config(seed=1).seed == 1
