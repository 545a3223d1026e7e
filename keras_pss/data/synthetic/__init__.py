"""Synthetic click logs in Criteo's format with known click probabilities.

Logs of any size are written as a stream. Their cardinalities, which can be
scaled, and skew follow the real log, and the AUC of the true probabilities,
which no model exceeds in expectation, is known. `generate_likes` draws likes of
items by users instead, in memory.
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
from keras_pss.data.synthetic.synthetic_likes import (
    SyntheticLikes as SyntheticLikes,
)
from keras_pss.data.synthetic.synthetic_likes import (
    generate_likes as generate_likes,
)
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
    """Report of the rows that `generate` wrote, with the best possible scores.

    `bayes_auc` and `bayes_log_loss` (nats per row) are the expected scores of
    the true probabilities; `realised_auc` and `realised_log_loss` are their
    scores on the labels that were drawn.
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
            ValueError: The file is damaged or not a report.
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

    The same arguments give the same bytes, and a longer log starts with the
    rows of a shorter one. `seed` determines the rows, `world_seed` the effects
    behind them: two logs of one world differ like two weeks of one site, and
    a model trained on one can be tested on the other. Memory: about 100 MB
    for any number of rows.

    Args:
        path: A file `*.tsv` or `*.txt`, which may end in `.gz`, `.xz` or
            `.zst`. Any other name is a new folder with files such as
            `part-00000-of-00003.tsv` and the report `synthetic.json`.
        rows: Number of rows.
        seed: Seed of the rows, at least 0. Default: 0.
        scale: Factor of the cardinalities above 1,000 of Criteo Kaggle, at
            most 423 (values have 32 bits). Scaled cardinalities are at least
            1,000, and smaller ones are unchanged. Default: 0.01.
        zipf_exponent: Exponent of the Zipf distribution of ids, positive and
            not 1. Default: 1.1.
        click_rate: Expected fraction of rows with a click, in (0, 1).
            Default: 0.25.
        bayes_auc: Expected AUC of the true probabilities, in [0.5, 0.99].
            Default: 0.8.
        world_seed: Seed of the raw values, effects and calibration, at least
            0. Default: 0.
        rows_per_file: Number of rows of each file in a folder except the
            last. Default: 1,000,000.
        overwrite: Whether to replace an existing file or folder of generated
            rows. Default: False.
        progress: Function that is called as
            `progress(rows_done, rows, "generate")`. Default: None.

    Returns:
        A `SyntheticReport`.

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
    """Text and raw rows of the rows start..stop, block by block."""

    def make(index: int) -> tuple[bytes, RawRows]:
        first = index * BLOCK_ROWS
        wanted = slice(max(start - first, 0), stop - first)
        part = RawRows._make(a[wanted] for a in planted.block(seed, index))
        return format_rows(*part[:5]), part

    planted.block(seed, 0)  # calibrates once, before several threads do
    blocks = range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS))
    return ordered_map(make, blocks, WORKERS)


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file that is compressed by its suffix, deterministically."""
    with ExitStack() as stack:
        plain = stack.enter_context(open(path, "wb"))
        file: Any = plain
        match path.suffix:
            case ".gz":
                # Without name and time, equal rows give equal files.
                file = GzipFile("", "wb", 6, plain, 0)
            case ".xz":
                file = stack.enter_context(lzma.open(plain, "wb", preset=1))
            case ".zst":
                import zstandard

                file = zstandard.ZstdCompressor().stream_writer(plain)
        stack.callback(file.close)  # before the plain file; may repeat
        yield file


def _is_generated(folder: Path) -> bool:
    return (folder / REPORT).is_file()


def _is_file(path: Path) -> bool:
    name = path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith((".tsv", ".txt"))
