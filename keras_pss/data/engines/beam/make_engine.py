"""Makes the engine, or says what it lacks."""

import importlib.util
from collections.abc import Sequence

from keras_pss.data.engines.engine import Engine
from keras_pss.data.readers.source import Sources
from keras_pss.features import Schema


def make_engine(
    sources: Sources,
    schema: Schema,
    strict: bool,
    beam_options: Sequence[str],
) -> Engine:
    """An engine that prepares logs as pipelines of Apache Beam.

    Args:
        sources: See `prepare`.
        schema: The schema of the log.
        strict: Whether broken rows are an error.
        beam_options: Options of Beam and its runner, as in a command line.

    Raises:
        ValueError, FileNotFoundError: Apache Beam is not installed, or an
            option or a source is wrong.
    """
    if importlib.util.find_spec("apache_beam") is None:
        raise ValueError(
            "`engine` 'beam' needs Apache Beam, which is not installed. "
            "Install it on this machine and on all workers with "
            "`pip install 'keras-pss[beam]'`. Received: engine='beam'"
        )
    from keras_pss.data.engines.beam.beam_engine import BeamEngine
    from keras_pss.data.engines.beam.options import checked_options

    return BeamEngine(sources, schema, strict, checked_options(beam_options))
