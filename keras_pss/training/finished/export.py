"""Exports a finished run in a format of a server or a device."""

from pathlib import Path

from keras_pss.serving.export_formats import SAVED_MODEL, check_format
from keras_pss.training.backends.exporting import Export, export_file
from keras_pss.training.finished.finished_run import precision_of
from keras_pss.training.run import ENCODER_FILE, MODEL_FILE


def export(
    run: Path | str,
    out: Path | str,
    mode: str | None = None,
    overwrite: bool = False,
    format: str = SAVED_MODEL,
) -> None:
    """Exports a run's model; see `keras_pss.serving.export_model`.

    On another backend than TensorFlow, a process of TensorFlow's writes it.

    Args:
        run: Folder of a finished run.
        out: Folder to write.
        mode: How to quantize the tables, `"int8"` or `"int4"`. Default: None,
            tables that were trained for fewer bits are packed without loss.
        overwrite: Whether to replace an export.
        format: `"tf_saved_model"`, `"litert"`, `"onnx"` or `"openvino"`.

    Raises:
        ValueError: If the run is not finished, `out` exists, packages of the
            format are missing, or the format cannot hold the model exactly.
        ChildProcessError: If TensorFlow's process fails.
    """
    run = Path(run)
    check_format(format)
    export_file(
        Export(
            model=str(run / MODEL_FILE),
            out=str(out),
            encoder=str(run / ENCODER_FILE),
            precision=precision_of(run),
            mode=mode,
            overwrite=overwrite,
            format=format,
        )
    )
