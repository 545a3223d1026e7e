"""Click logs in Criteo's format with a known click probability.

A log of any size is written in a stream: the sizes and skew of its tables are
those of the real log (scaled), and the AUC that no model can exceed is known.
"""

import lzma
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from gzip import GzipFile
from pathlib import Path
from typing import IO, Any

from keras_pss.data.criteo.tsv_writer import format_rows
from keras_pss.data.readers.threads import WORKERS, ordered_map
from keras_pss.data.synthetic.bayes import BayesScore
from keras_pss.data.synthetic.world import BLOCK_ROWS, RawRows, World
from keras_pss.files import (
    complete_file,
    complete_folder,
    read_json,
    write_json,
)

REPORT = "synthetic.json"
SUFFIXES = (".gz", ".xz", ".zst")


@dataclass(frozen=True)
class SyntheticReport:
    """What `generate` wrote, and the best that a model can reach on it.

    `bayes_auc` and `bayes_log_loss` (nats a row) are the expected scores of
    the true probabilities, `realised_auc` and `realised_log_loss` those
    against the labels that were drawn.
    """

    files: list[str]
    rows: int
    bytes: int  # of text, before compression
    click_rate: float
    bayes_auc: float
    bayes_log_loss: float
    realised_auc: float
    realised_log_loss: float
    cardinalities: list[int]
    settings: dict[str, float]

    def save(self, path: str | Path) -> None:
        """Writes a JSON file."""
        write_json(asdict(self), Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "SyntheticReport":
        """Reads the file that `save` wrote.

        Raises:
            ValueError: The file is damaged, or another one.
        """
        fix = "Generate the rows again."
        content = read_json(Path(path), fix)
        names = {entry.name for entry in fields(cls)}
        if set(content) != names:
            raise ValueError(
                f"{path} must have the entries of a report. {fix} "
                f"Received: {sorted(content)[:20]}"
            )
        return cls(**content)


def generate(
    path: str | Path,
    *,
    rows: int,
    seed: int = 0,
    scale: float = 0.01,
    zipf_exponent: float = 1.1,
    click_rate: float = 0.25,
    bayes_auc: float = 0.8,
    world_seed: int = 0,
    rows_per_file: int = 1_000_000,
    overwrite: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> SyntheticReport:
    """Writes synthetic Criteo rows.

    The same arguments give the same bytes, and the first rows of a longer log
    are those of a shorter one. `seed` draws rows, `world_seed` the effects
    behind them: two logs of one world differ like two weeks of one site, and
    a model trained on one can be tested on the other. About 100 MB of memory,
    whatever the number of rows.

    Args:
        path: A file `*.tsv`, `*.txt`, or either with `.gz`, `.xz` or `.zst`;
            any other name is a new folder of `part-00000-of-00003.tsv`, ...
            and `synthetic.json`, the report.
        rows: Number of rows.
        seed: Of the rows, at least 0.
        scale: Factor of the tables that have more than 1,000 ids in Criteo
            Kaggle, at most 423 (values have 32 bits). They keep at least
            1,000, and smaller tables keep their size.
        zipf_exponent: Skew of the ids; not 1.
        click_rate: Expected part of clicks, in (0, 1).
        bayes_auc: AUC of the true probabilities, in [0.5, 0.99].
        world_seed: Of values, effects and calibration, at least 0.
        rows_per_file: Rows of a folder's files.
        overwrite: Replace what is there.
        progress: Called as `progress(rows_done, rows, "generate")`.

    Returns:
        The report.

    Raises:
        ValueError: An argument is out of range.
        FileExistsError: `path` exists.

    Example:

    >>> report = generate("train.tsv.zst", rows=300_000)
    >>> round(report.bayes_auc, 2)
    0.8
    """
    for name, value in (("rows", rows), ("rows_per_file", rows_per_file)):
        if value < 1:
            raise ValueError(
                f"`{name}` must be at least 1. Received: {name}={value}."
            )
    if seed < 0:
        raise ValueError(f"`seed` must be at least 0. Received: seed={seed}.")
    planted = World(scale, zipf_exponent, click_rate, bayes_auc, world_seed)
    path = Path(path)
    score = BayesScore()

    def write(file: Path, start: int, stop: int) -> int:
        size = 0
        with _open(file) as out:
            for text, part in _texts(planted, seed, start, stop):
                out.write(text)
                size += len(text)
                score.add(part.logits, part.labels)
                if progress:
                    progress(score.rows, rows, "generate")
        return size

    def report(files: list[Path], size: int) -> SyntheticReport:
        return SyntheticReport(
            files=[file.name for file in files],
            rows=rows,
            bytes=size,
            click_rate=score.click_rate,
            bayes_auc=score.auc,
            bayes_log_loss=score.log_loss,
            realised_auc=score.realised_auc,
            realised_log_loss=score.realised_log_loss,
            cardinalities=list(planted.cardinalities),
            settings={
                "seed": seed,
                "scale": scale,
                "zipf_exponent": zipf_exponent,
                "click_rate": click_rate,
                "bayes_auc": bayes_auc,
                "world_seed": world_seed,
            },
        )

    if _is_file(path):
        with complete_file(path, overwrite) as temporary:
            size = write(temporary, 0, rows)
        return report([path], size)
    count = -(-rows // rows_per_file)
    files: list[Path] = []
    size = 0
    with complete_folder(
        path, overwrite, "generated rows", _is_generated, "path"
    ) as folder:
        for index in range(count):
            files.append(folder / f"part-{index:05d}-of-{count:05d}.tsv")
            start = index * rows_per_file
            stop = min(start + rows_per_file, rows)
            size += write(files[-1], start, stop)
        made = report(files, size)
        made.save(folder / REPORT)
    return made


def _texts(
    planted: World, seed: int, start: int, stop: int
) -> Iterator[tuple[bytes, RawRows]]:
    """Text and truth of the rows start..stop, block by block."""

    def make(index: int) -> tuple[bytes, RawRows]:
        first = index * BLOCK_ROWS
        wanted = slice(max(start - first, 0), stop - first)
        part = RawRows._make(a[wanted] for a in planted.block(seed, index))
        return format_rows(*part[:5]), part

    planted.block(seed, 0)  # calibrates once, before the threads would
    blocks = range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS))
    return ordered_map(make, blocks, WORKERS)


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file that compresses by its suffix, always to the same bytes."""
    with ExitStack() as stack:
        plain = stack.enter_context(open(path, "wb"))
        file: Any = plain
        match path.suffix:
            case ".gz":
                # Neither name nor time: equal rows give equal files.
                file = GzipFile("", "wb", 6, plain, 0)
            case ".xz":
                file = stack.enter_context(lzma.open(plain, "wb", preset=1))
            case ".zst":
                import zstandard

                file = zstandard.ZstdCompressor().stream_writer(plain)
        stack.callback(file.close)  # before the plain file; twice is harmless
        yield file


def _is_generated(folder: Path) -> bool:
    return (folder / REPORT).is_file()


def _is_file(path: Path) -> bool:
    name = path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith((".tsv", ".txt"))
