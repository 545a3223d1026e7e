"""The command that builds the native kernels."""

from typing import Annotated

import typer
from rich.console import Console

from keras_pss_cli.common import fail, quiet


def build_ops(
    framework: Annotated[
        list[str] | None,
        typer.Option(
            help="tensorflow or jax; may be given twice. By default what is "
            "installed."
        ),
    ] = None,
    cuda: Annotated[
        bool, typer.Option("--cuda", help="CUDA kernels as well; needs nvcc.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Build anew what is there.")
    ] = False,
) -> None:
    """Compile the native kernels for lookups: needs g++; a minute or two.

    They go to the user's cache ($KERAS_PSS_CACHE or ~/.cache/keras_pss) and
    are found there by every process with the same framework version.
    """
    with quiet():
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

                def told(percent: int, step: str, title: str = title) -> None:
                    if errors.is_terminal:
                        status.update(f"{title}: {percent} %")
                    else:
                        errors.print(f"{title}: {percent} %, {step}")

                library = build.build(name, cuda, force, told)
            console.print(f"{name}: {library}", soft_wrap=True)
    except build.BuildError as error:
        fail(str(error))
