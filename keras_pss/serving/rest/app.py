"""The addresses of a served model, as TensorFlow Serving has them."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from keras_pss.messages import did_you_mean, shown
from keras_pss.serving.rest.request_error import RequestError
from keras_pss.serving.rest.served_model import ServedModel

logger = logging.getLogger(__name__)
_Answer = Callable[[Request], Awaitable[Response]]


def app(model: ServedModel, max_bytes: int) -> Starlette:
    """An ASGI application that answers for one model.

        POST /v1/models/NAME[/versions/VERSION]:predict
        GET  /v1/models/NAME[/versions/VERSION][/metadata]

    An error is `{"error": message}` with a status of 400 for a wrong request,
    404 for another model or version, 413 for one that is too large.

    Args:
        model: What to serve.
        max_bytes: Size of a request's body.
    """

    def checked(request: Request) -> None:
        name, _, verb = request.path_params["name"].partition(":")
        if verb:
            raise RequestError(
                f"Send POST to /v1/models/{model.name}:predict. Received: "
                f"{request.method} ...:{shown(verb)[1:-1]}",
                status=405 if verb == "predict" else 404,
            )
        version = request.path_params.get("version")
        if name != model.name:
            raise RequestError(
                f"This server has the model {model.name!r}, not "
                f"{shown(name)}.{did_you_mean(name, [model.name])}",
                status=404,
            )
        if version is not None and version != str(model.version):
            raise RequestError(
                f"This server has version {model.version} of {name!r}, not "
                f"{shown(version)}. Leave /versions/... out, or start it with "
                "--version.",
                status=404,
            )

    async def predict(request: Request) -> Response:
        checked(request)
        text = await _body(request, max_bytes)
        answer = await run_in_threadpool(_predict, model, text)
        return Response(answer, media_type="application/json")

    async def status(request: Request) -> Response:
        checked(request)
        fine = {"error_code": "OK", "error_message": ""}
        version = {
            "version": str(model.version),
            "state": "AVAILABLE",
            "status": fine,
        }
        return _json({"model_version_status": [version]})

    async def metadata(request: Request) -> Response:
        checked(request)
        return _json(described(model))

    def paths(end: str) -> list[str]:
        model = "/v1/models/{name:str}"
        return [model + end, model + "/versions/{version:str}" + end]

    ends: dict[str, tuple[str, _Answer]] = {
        ":predict": ("POST", predict),
        "/metadata": ("GET", metadata),
        "": ("GET", status),
    }
    return Starlette(
        routes=[
            Route(path, answer, methods=[method])
            for end, (method, answer) in ends.items()
            for path in paths(end)
        ],
        exception_handlers={
            RequestError: _refused,
            HTTPException: _no_address,
            Exception: _failed,
        },
    )


def described(model: ServedModel) -> dict[str, Any]:
    """Inputs and outputs of all signatures, in TensorFlow Serving's form."""

    def tensors(specs: dict[str, Any]) -> dict[str, Any]:
        return {
            name: {
                "dtype": f"DT_{_short(spec.dtype)}",
                "tensor_shape": {
                    "dim": [
                        {"size": str(-1 if size is None else size), "name": ""}
                        for size in spec.shape or ()
                    ],
                    "unknown_rank": spec.shape is None,
                },
                "name": name,
            }
            for name, spec in specs.items()
        }

    signatures = {
        key: {
            "inputs": tensors(signature.inputs),
            "outputs": tensors(signature.outputs),
            "method_name": "tensorflow/serving/predict",
        }
        for key, signature in model.signatures.items()
    }
    return {
        "model_spec": {
            "name": model.name,
            "signature_name": "",
            "version": str(model.version),
        },
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _short(dtype: str) -> str:
    """TensorFlow's name of a dtype: `FLOAT` of float32, `DOUBLE`, `INT64`."""
    return {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF"}.get(
        dtype, dtype.upper()
    )


def _predict(model: ServedModel, text: bytes) -> bytes:
    return _dumped(model.predict(_parsed(text)))


def _dumped(answer: Any) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()


def _json(answer: Any, status: int = 200) -> Response:
    return Response(_dumped(answer), status, media_type="application/json")


async def _body(request: Request, max_bytes: int) -> bytes:
    """The body, of which no more is kept than is allowed."""
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > max_bytes:
            raise RequestError(
                f"A request has at most {max_bytes:,} bytes. Send fewer rows "
                "at once.",
                status=413,
            )
    return bytes(found)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RequestError:
        raise
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"The request is not JSON in UTF-8: {error}. It is an object "
            'with "instances" or "inputs".'
        ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError(f"The key {shown(twice)} stands twice in an object.")
    return found


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _json({"error": str(error)}, error.status)


async def _no_address(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json(
        {
            "error": f"{error.detail}: {request.method} {request.url.path}. "
            "Send POST to /v1/models/NAME:predict, or GET to /v1/models/NAME "
            "or /v1/models/NAME/metadata."
        },
        error.status_code,
    )


async def _failed(request: Request, error: Exception) -> Response:
    if not isinstance(error, ClientDisconnect):
        logger.error("%s failed", request.url.path, exc_info=error)
    return _json({"error": "The server failed; its log says why."}, 500)
