"""Preparation on Apache Beam gives the folder of one machine bit for bit."""

import filecmp
import gzip
import os
import random
from types import SimpleNamespace

import polars as pl
import pytest
import tensorflow as tf
import tfds_kinds
from command_line import call
from log_makers import SCHEMAS, make_log
from log_schema import SCHEMA, as_frame, made_rows

from keras_pss import data
from keras_pss.data.engines.engine import run
from keras_pss.data.readers.block import BrokenRowError
from keras_pss.features import (
    Categorical,
    Dense,
    Format,
    Label,
    MultiCategorical,
    Schema,
    Split,
    Timestamp,
)

pytest.importorskip("apache_beam")
from apache_beam.io.filesystem import FileMetadata, MatchResult
from apache_beam.io.localfilesystem import LocalFileSystem
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.runners.runner import PipelineState

from keras_pss.data.engines.beam import (
    counting,
    fit_step,
    pipelines,
    progress,
    write_step,
)
from keras_pss.data.engines.beam.beam_engine import BeamEngine
from keras_pss.data.engines.beam.exchange import Exchange
from keras_pss.data.engines.beam.options import checked_options
from keras_pss.data.engines.beam.pipelines import PipelineError
from keras_pss.data.storage.columns import staged_file

pytestmark = [
    pytest.mark.tf_only,
    # Beam's own, and those of the packages that it imports.
    pytest.mark.filterwarnings("ignore"),
]
ROWS = 400


@pytest.fixture(autouse=True)
def runner_of_beam_alone(monkeypatch):
    """Beam's DirectRunner fetches no other runner, whose errors it hides."""
    begun = []
    monkeypatch.setattr(
        PrismRunner, "run_pipeline", lambda *given: begun.append(given)
    )
    yield
    assert not begun


def prepare(engine, files, out, schema, options=(), **sizes):
    """Prepares with small shards, and small blocks on Beam."""
    if engine == "local":
        return data.prepare(files, out, schema, rows_per_shard=100)
    made = BeamEngine(files, schema, False, checked_options(options), **sizes)
    told = {}
    prepared = run(
        made,
        out,
        schema,
        rows_per_shard=100,
        strict=False,
        overwrite=False,
        progress=lambda done, total, stage: told.setdefault(stage, []).append(
            (done, total)
        ),
        parquet=False,
    )
    assert [*told] == ["read", "count", "write"]
    for stage in told.values():
        done, (total, *others) = zip(*stage, strict=True)
        assert list(done) == sorted(done)
        assert (done[0], done[-1], set(others)) == (0, total, {total})
    return prepared


def assert_equal(one, other):
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    same, *rest = filecmp.cmpfiles(one, other, names, shallow=False)
    assert (len(same), rest) == (len(names), [[], []])


def compare(tmp_path, files, schema, options=(), **sizes):
    one = prepare("local", files, tmp_path / "one", schema)
    prepare("beam", files, tmp_path / "two", schema, options, **sizes)
    assert_equal(tmp_path / "one", tmp_path / "two")
    # Neither engine leaves anything else.
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"one", "two", *(path.name for path in files)}
    return one


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "name", ["quoted", *map(slow, sorted({*SCHEMAS} - {"quoted"}))]
)
def test_text_with_broken_rows(tmp_path, monkeypatch, name):
    monkeypatch.setattr(counting, "HELD_ROWS", 40)
    odd = os.fsdecode(b"b [1] *?{x}#%20 \xc3\xa4 \xff.csv")
    files = [tmp_path / name for name in ("a.csv", odd, "c.csv.gz")]
    for seed, path in enumerate(files):
        log = make_log(SCHEMAS[name], seed, ROWS, 0.002)
        path.write_bytes(gzip.compress(log) if path.suffix == ".gz" else log)
    found = compare(
        tmp_path, files, SCHEMAS[name], block_bytes=7_000, partition_rows=500
    )
    assert found.rejects


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Parquet files with a column for every kind of feature."""
    draw, files = random.Random(0), []
    for seed in range(2):
        times = [draw.randrange(10**9, 10**9 + 40) for _ in range(ROWS)]
        frame = as_frame(made_rows(ROWS, seed)).drop("pair")
        names = {"label": "click", "seen:weights": "w", "group": "user"}
        frame = frame.rename(names).with_columns(at=pl.Series(times))
        files.append(tmp_path_factory.mktemp("tables") / f"{seed}.parquet")
        frame.write_parquet(files[-1])
    return files


@pytest.mark.parametrize(
    ("split", "timed"),
    [
        slow(Split(), False),
        slow(Split("time"), True),
        slow(Split("random"), False),
        slow(Split("group"), False),
        (Split("group", last=1), True),
    ],
    ids=["order", "time", "random", "groups", "last of groups"],
)
def test_every_kind_of_feature(tmp_path, monkeypatch, tables, split, timed):
    # Sums of many blocks, of which each is in several blocks of rows.
    for module in (staged_file, fit_step):
        monkeypatch.setattr(module, "BLOCK_ROWS", 61)
    files = []
    for path in tables:
        files.append(tmp_path / path.name)
        files[-1].write_bytes(path.read_bytes())
    schema = Schema(
        SCHEMA.features,
        label=SCHEMA.label,
        group=SCHEMA.group,
        timestamp=Timestamp("at", "epoch_s") if timed else None,
        split=split,
    )
    found = compare(tmp_path, files, schema, block_rows=101, partition_rows=300)
    assert found.layout.find("large").dtype == "float32"


def test_a_damaged_archive_of_json_lines(tmp_path):
    lines = "".join(
        f'{{"a": "x{n % 7}", "m": ["{n % 3}", "y"], "y": {n % 2}}}\n'
        for n in range(ROWS)
    )
    path = tmp_path / "a.json.gz"
    packed = gzip.compress(lines.encode(), 0)
    path.write_bytes(packed[: len(packed) * 3 // 4])
    schema = Schema(
        [Categorical("a"), MultiCategorical("m", max_length=2)],
        label=Label("y"),
        format=Format(kind="ndjson"),
    )
    # As workers that fail do, each begins all of its work again.
    options = ["--direct_runner_bundle_repeat=1"]
    found = compare(tmp_path, [path], schema, options, block_bytes=4_000)
    assert found.incomplete == ["a.json.gz"]


def test_datasets_and_records(tmp_path, tfds_dir):
    tfds_kinds.KindsOfFeatures(data_dir=str(tfds_dir)).download_and_prepare()
    path = tmp_path / "a.tfrecord.gz"
    kind = tf.train.Feature
    with tf.io.TFRecordWriter(str(path), "GZIP") as file:
        for number in range(150):
            row = tfds_kinds.row(number)
            city = tf.train.BytesList(value=[row["city"].encode()])
            count = tf.train.Int64List(value=[row["count"]])
            label = tf.train.Int64List(value=[row["clicked"]])
            names = {
                "city": kind(bytes_list=city),
                "count": kind(int64_list=count),
                "clicked": kind(int64_list=label),
            }
            features = tf.train.Features(feature=names)
            made = tf.train.Example(features=features)
            file.write(made.SerializeToString())
        file.write(b"junk")
    schema = Schema(
        [Categorical("city"), Dense("count", dtype="integer")],
        label=Label("clicked"),
    )
    sources = ["tfds:kinds_of_features[test+train]", path]
    one = prepare("local", sources, tmp_path / "one", schema)
    prepare("beam", sources, tmp_path / "two", schema, block_rows=40)
    assert_equal(tmp_path / "one", tmp_path / "two")
    assert sum(map(one.rows, one.splits)) == 30 + 200 + 150
    assert one.rejects


class Kept(LocalFileSystem):
    """Files of a folder that have URLs, as those of a bucket have."""

    root = ""

    @classmethod
    def scheme(cls):
        return "kept"

    def local(self, path):
        return path.replace("kept://", f"{self.root}/")

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def mkdirs(self, path):
        super().mkdirs(self.local(path))

    def create(self, path, *args, **kwargs):
        return super().create(self.local(path), *args, **kwargs)

    def open(self, path, *args, **kwargs):
        return super().open(self.local(path), *args, **kwargs)

    def exists(self, path):
        return super().exists(self.local(path))

    def rename(self, sources, to):
        super().rename([*map(self.local, sources)], [*map(self.local, to)])

    def delete(self, paths):
        super().delete([*map(self.local, paths)])

    def match(self, patterns, limits=None):
        if not all(p.startswith("kept://") for p in patterns):
            return super().match(patterns, limits)
        found = super().match([*map(self.local, patterns)], limits)
        return [
            MatchResult(
                pattern,
                [
                    FileMetadata(pattern, one.size_in_bytes)
                    for one in match.metadata_list
                ],
            )
            for pattern, match in zip(patterns, found, strict=True)
        ]


def test_files_of_another_file_system(tmp_path, monkeypatch):
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    monkeypatch.setattr(Kept, "root", str(bucket))
    schema = SCHEMAS["tabs"]
    (bucket / "a.tsv").write_bytes(make_log(schema, 0, ROWS, 0.002))
    url = "kept://a.tsv"
    options = ["--temp_location=kept://"]
    made = prepare("beam", [url], tmp_path / "two", schema, options)
    prepare("local", [bucket / "a.tsv"], tmp_path / "one", schema)
    for path in (tmp_path / "one").glob("*.bin"):
        other = tmp_path / "two" / path.name
        assert path.read_bytes() == other.read_bytes()
    assert made.sources[0]["name"] == "a.tsv"
    rejects = (tmp_path / "two" / "rejects.tsv").read_bytes()
    assert rejects.startswith(f"{url}\t".encode())
    assert [path.name for path in bucket.iterdir()] == ["a.tsv"]
    for sources, message in (
        ([url, url], "each file once.*kept://a.tsv' 2 times"),
        (["kept://b.tsv"], "exist.*kept://b.tsv', which is 0 files"),
    ):
        with pytest.raises(ValueError, match=message):
            data.prepare(sources, tmp_path / "out", schema, engine="beam")


def test_errors_are_those_of_one_machine(tmp_path):
    schema = Schema([Categorical("a")], label=Label("y"))
    files = {
        "broken": "a,y\nx,1\nx,2\n",
        "other": "b,y\nx,1\n",
        "empty": "a,y\n",
    }
    for name, text in files.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(text)
        told = []
        for engine in ("local", "beam"):
            with pytest.raises(ValueError, match="Received") as found:
                data.prepare(
                    path, tmp_path / "out", schema, strict=True, engine=engine
                )
            told.append((type(found.value), str(found.value)))
        assert told[0] == told[1]
        assert (told[0][0] is BrokenRowError) == (name == "broken")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_worker_that_fails(tmp_path, monkeypatch):
    path, out = tmp_path / "a.csv", tmp_path / "out"
    path.write_text("a\n" + "x\ny\n" * 20)
    schema = Schema([Categorical("a")])
    old = data.prepare(path, out, schema)

    def fail(self, item):
        raise OSError(28, "No space left")

    monkeypatch.setattr(write_step.EncodeBlock, "process", fail)
    with pytest.raises(PipelineError, match=r"'write' failed.*No space left"):
        data.prepare(path, out, schema, engine="beam", overwrite=True)
    assert {each.name for each in tmp_path.iterdir()} == {"a.csv", "out"}
    old.verify()


class Job:
    """A job of a cluster, of which Beam knows its state and its metrics."""

    state = PipelineState.CANCELLED
    cancelled = False

    def run(self):
        return self

    def wait_until_finish(self):
        return self.state

    def cancel(self):
        self.cancelled = True

    def metrics(self):
        counts = [SimpleNamespace(attempted=n) for n in (3, None, 4)]
        return SimpleNamespace(query=lambda wanted: {"counters": counts})


def test_jobs_of_clusters(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS", 0.001)
    told = []

    def tell(done):
        told.append(done)
        raise KeyError("what the caller's function raised")

    job = Job()
    watch = progress.Watch(Exchange(str(tmp_path)), "fit", tell)

    def watched():
        with watch:
            watch.running = job
            watch._thread.join()

    with pytest.raises(KeyError, match="what the caller"):
        watched()
    assert told == [7]
    with pytest.raises(RuntimeError, match="CANCELLED"):
        pipelines._finish(job, watch)
    assert not job.cancelled

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "wait_until_finish", interrupt, raising=False)
    with pytest.raises(KeyboardInterrupt):
        pipelines._finish(job, watch)
    assert job.cancelled


def test_counts_in_a_shared_folder(tmp_path):
    exchange = Exchange(str(tmp_path))
    done = progress.Done(exchange, "fit")
    for number in (5, 1 << 40):
        done.add(number)
    assert exchange.sum_of_numbers("fit-done") == 5 + (1 << 40)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--direct_num_workers=x"], "direct_num_workers: invalid int"),
        (["--no_option=3"], "DirectRunner does not know --no_option=3"),
        (["--runner=NoRunner"], "Unexpected pipeline runner: NoRunner"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    path = tmp_path / "a.csv"
    path.write_text("a\nx\n")
    with pytest.raises(ValueError, match=f"`beam_options` must.*{message}"):
        data.prepare(
            path,
            tmp_path / "out",
            Schema([Categorical("a")]),
            engine="beam",
            beam_options=options,
        )
    assert not (tmp_path / "out").exists()


def test_the_command(tmp_path):
    log = make_log(SCHEMAS["tabs"], 0, ROWS, 0.002)
    (tmp_path / "a.tsv").write_bytes(log)
    SCHEMAS["tabs"].save(tmp_path / "a.toml")
    words = ["prepare", "a.tsv", "--schema", "a.toml"]
    beam = ["--engine=beam", "--", "--runner=DirectRunner"]
    assert call(*words, "--out", "one", folder=tmp_path).returncode == 0
    done = call(*words, "--out", "two", *beam, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_equal(tmp_path / "one", tmp_path / "two")
    done = call(*words, "--out", "no", *beam, "--no=3", folder=tmp_path)
    assert done.returncode == 2
    assert "What follows `--` must be options of Apache Beam" in done.stderr


@pytest.mark.slow
def test_several_processes(tmp_path):
    files = [tmp_path / f"{name}.csv" for name in "ab"]
    for seed, path in enumerate(files):
        path.write_bytes(make_log(SCHEMAS["quoted"], seed, ROWS, 0.002))
    options = ["--direct_running_mode=multi_processing"]
    options.append("--direct_num_workers=2")
    compare(tmp_path, files, SCHEMAS["quoted"], options, block_bytes=7_000)
