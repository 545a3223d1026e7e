"""The command that builds the native kernels."""

from typing import Annotated

import typer
from rich.console import Console

from keras_pss_cli.common import fail


def build_ops(
    framework: Annotated[
        list[str] | None,
        typer.Option(
            help="tensorflow or jax; repeat for both. Default: those that are "
            "installed."
        ),
    ] = None,
    cuda: Annotated[
        bool,
        typer.Option("--cuda", help="Also build CUDA kernels; needs nvcc."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Rebuild existing kernels.")
    ] = False,
) -> None:
    """Compile the native kernels. This needs g++ and takes about a minute.

    They are stored in $KERAS_PSS_CACHE or ~/.cache/keras_pss, where every
    process with the same framework version finds them.
    """
    from keras_pss.native import build

    console = Console()
    errors = Console(stderr=True, highlight=False)
    try:
        frameworks = framework or build.installed()
        if not frameworks:
            raise build.BuildError(
                "Neither TensorFlow nor JAX is installed, and the kernels are "
                "compiled against one of them."
            )
        for name in frameworks:
            title = f"Compiling the kernels for {name}"
            with errors.status(f"{title} ...") as status:

                def show(
                    count: int, total: int, file: str, title: str = title
                ) -> None:
                    text = f"{title}: {count} of {total} files, {file}"
                    if errors.is_terminal:
                        status.update(text)
                    else:
                        errors.print(text, soft_wrap=True)

                library = build.build(name, cuda, force, show)
            console.print(f"{name}: {library}", soft_wrap=True)
    except build.BuildError as error:
        fail(str(error))
