"""Exports a finished run once more, such as with other tables."""

from pathlib import Path

from keras_pss.training.backends.exporting import Export, export_file
from keras_pss.training.finished.finished_run import precision_of
from keras_pss.training.run import ENCODER_FILE, MODEL_FILE


def export(
    run: Path | str,
    out: Path | str,
    mode: str | None = None,
    overwrite: bool = False,
    merge_cores: bool | str | int = False,
) -> None:
    """Writes a SavedModel of a run's model, which takes raw rows as well.

    On another backend than TensorFlow, a process of TensorFlow's writes it.

    Args:
        run: Folder of a finished run.
        out: Folder to write.
        mode: How to quantize the tables, `"int8"` or `"int4"`. Default: None,
            tables that were trained for fewer bits are packed without loss.
        overwrite: Whether to replace a SavedModel.
        merge_cores: As in `serving.export_saved_model`. Default: False.

    Raises:
        ValueError: If the run is not finished, or `out` exists; and if
            `merge_cores` finds nothing to merge.
        ChildProcessError: If TensorFlow's process fails.
    """
    run = Path(run)
    export_file(
        Export(
            model=str(run / MODEL_FILE),
            out=str(out),
            encoder=str(run / ENCODER_FILE),
            precision=precision_of(run),
            mode=mode,
            overwrite=overwrite,
            merge_cores=merge_cores,
        )
    )
