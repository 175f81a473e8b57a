"""Serves the model `segmenter` over KServe V2 (Open Inference Protocol): `python -m examples.servers.model_server`.

This is the internal model service of the product shoot, such as a company runs beside its workers. It takes a picture
as a UINT8 tensor [height, width, 3] or as an encoded file (BYTES [1]), and answers the mask as UINT8 [height, width]
or, asked for by name, as PNG (`mask_png`, BYTES [1]) and the subject's share (`coverage`, FP32 [1]). It listens on
loopback only, refuses what is too large or too much at once, and keeps no state. `inference_protocol` parses before it,
`segmentation` finds the subject behind it, in threads, since OpenCV lets go of the interpreter while it computes.
"""

import argparse
import asyncio
import concurrent.futures
import io
import json
import logging
import pathlib
import signal
import sys
import typing
from collections import abc

import cv2
import numpy as np
from aiohttp import web
from PIL import Image as Pillow

from examples.servers import inference_protocol, segmentation

HOST = "127.0.0.1"
MODEL = "segmenter"
VERSION = "1"
BODY_SIZE_MAX_BYTES = 64 * 1024 * 1024
SIDE_MIN_PX = 16
SIDE_MAX_PX = 4_096
WAITING_PER_THREAD = 16
INFER_TIMEOUT_S = 30.0
SHUTDOWN_TIMEOUT_S = 5.0
USUAL_OUTPUTS = ("mask",)
METADATA: abc.Mapping[str, typing.Any] = {
    "name": MODEL,
    "versions": [VERSION],
    "platform": "opencv_grabcut",
    "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, 3]}],
    "outputs": [
        {"name": "mask", "datatype": "UINT8", "shape": [-1, -1]},
        {"name": "mask_png", "datatype": "BYTES", "shape": [1]},
        {"name": "coverage", "datatype": "FP32", "shape": [1]},
    ],
}

logger = logging.getLogger(__name__)
Handler = abc.Callable[[web.Request], abc.Awaitable[web.StreamResponse]]


class ModelServer:
    """The handlers and the threads that compute. At most 16 requests a thread wait; one more is answered 503."""

    def __init__(self, *, threads: int) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="segmenter")
        self._waiting_max = threads * WAITING_PER_THREAD
        self._waiting = 0

    def application(self) -> web.Application:
        """Build the aiohttp application."""
        application = web.Application(client_max_size=BODY_SIZE_MAX_BYTES, middlewares=[_in_one_form])
        application.add_routes(
            [
                web.get("/v2", _server_metadata),
                web.get("/v2/health/live", _live),
                web.get("/v2/health/ready", self._ready),
            ]
        )
        for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            application.add_routes(
                [
                    web.get(prefix, _model_metadata),
                    web.get(prefix + "/ready", _model_ready),
                    web.post(prefix + "/infer", self._infer),
                ]
            )
        application.on_cleanup.append(self._close)
        return application

    async def _close(self, _application: web.Application) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _ready(self, _request: web.Request) -> web.Response:
        is_ready = self._waiting < self._waiting_max
        return web.json_response({"ready": is_ready}, status=200 if is_ready else 503)

    async def _infer(self, request: web.Request) -> web.Response:
        _require_model(request)
        if self._waiting >= self._waiting_max:
            return _error(503, f"{self._waiting} requests wait already: come back later.", retry_after_s=1)
        self._waiting += 1
        try:
            header_size_bytes = _header_size(request)
            body = await request.read()
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(INFER_TIMEOUT_S):
                # The parsing of a picture written as JSON takes as long as the model: both belong to the thread.
                answer, json_size_bytes = await loop.run_in_executor(self._pool, infer, body, header_size_bytes)
        except inference_protocol.BadRequest as error:
            return _error(400, str(error))
        except TimeoutError:
            return _error(504, f"The model did not answer within {INFER_TIMEOUT_S:.0f} s.")
        finally:
            self._waiting -= 1
        if json_size_bytes is None:
            return web.Response(body=answer, content_type="application/json")
        headers = {"Inference-Header-Content-Length": str(json_size_bytes)}
        return web.Response(body=answer, content_type="application/octet-stream", headers=headers)


def infer(body: bytes, header_size_bytes: int | None) -> tuple[bytes, int | None]:
    """Answer one request body with a response body and the size of its JSON part where binary tensors follow.

    Raises inference_protocol.BadRequest.
    """
    request = inference_protocol.parse(body=body, header_size_bytes=header_size_bytes)
    names = request.outputs or USUAL_OUTPUTS
    known = {output["name"] for output in METADATA["outputs"]}
    for name in names:
        if name not in known:
            raise inference_protocol.BadRequest(f"Output {name} does not exist; {', '.join(sorted(known))} do.")
    found = segmentation.segment(image=_image(request))
    outputs = [_output(name, found) for name in dict.fromkeys(names)]
    return inference_protocol.build(model=MODEL, version=VERSION, request=request, outputs=outputs)


def _image(request: inference_protocol.InferRequest) -> segmentation.Image:
    tensor = request.inputs.get("image")
    if tensor is None or len(request.inputs) != 1:
        raise inference_protocol.BadRequest("The model takes exactly one input, image.")
    if tensor.datatype == "BYTES":
        if len(tensor.elements) != 1:
            raise inference_protocol.BadRequest("Input image: BYTES must hold one encoded file.")
        return _decoded(tensor.elements[0])
    if tensor.datatype != "UINT8" or len(tensor.shape) != 3 or tensor.shape[2] != 3:
        raise inference_protocol.BadRequest("Input image must be UINT8 [height, width, 3] or BYTES [1].")
    _require_size(width_px=tensor.shape[1], height_px=tensor.shape[0])
    assert tensor.values is not None
    return np.ascontiguousarray(tensor.values, dtype=np.uint8)


def _decoded(content: bytes) -> segmentation.Image:
    """Decode an encoded picture, its size read from the header first: a small file can unfold into a huge one."""
    try:
        with Pillow.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as header:
            width_px, height_px = header.size
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise inference_protocol.BadRequest(f"Input image is no JPEG, PNG or WebP picture: {error}.") from error
    _require_size(width_px=width_px, height_px=height_px)
    decoded = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise inference_protocol.BadRequest("Input image begins like a picture and cannot be decoded.")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _require_size(*, width_px: int, height_px: int) -> None:
    if not (SIDE_MIN_PX <= width_px <= SIDE_MAX_PX and SIDE_MIN_PX <= height_px <= SIDE_MAX_PX):
        raise inference_protocol.BadRequest(
            f"Input image is {width_px} x {height_px} px; each side must be from {SIDE_MIN_PX} to {SIDE_MAX_PX}."
        )


def _output(name: str, found: segmentation.Segmentation) -> inference_protocol.Tensor:
    if name == "coverage":
        coverage = np.asarray([found.coverage], dtype=np.float32)
        return inference_protocol.array_tensor(name=name, datatype="FP32", values=coverage)
    if name == "mask_png":
        is_encoded, encoded = cv2.imencode(".png", found.mask, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        assert is_encoded, "OpenCV could not encode a mask"
        return inference_protocol.bytes_tensor(name=name, element=encoded.tobytes())
    return inference_protocol.array_tensor(name=name, datatype="UINT8", values=found.mask)


async def _server_metadata(_request: web.Request) -> web.Response:
    return web.json_response({"name": "heddle-example", "version": VERSION, "extensions": ["binary_tensor_data"]})


async def _live(_request: web.Request) -> web.Response:
    return web.json_response({"live": True})


async def _model_metadata(request: web.Request) -> web.Response:
    _require_model(request)
    return web.json_response(dict(METADATA))


async def _model_ready(request: web.Request) -> web.Response:
    _require_model(request)
    return web.json_response({"name": MODEL, "ready": True})


def _require_model(request: web.Request) -> None:
    model, version = request.match_info["model"], request.match_info.get("version", VERSION)
    if (model, version) != (MODEL, VERSION):
        raise web.HTTPNotFound(reason=f"there is no model {model[:60]!r} of version {version[:20]!r}")


def _header_size(request: web.Request) -> int | None:
    text = request.headers.get("Inference-Header-Content-Length")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise inference_protocol.BadRequest("Inference-Header-Content-Length is not a number.")
    return int(text)


@web.middleware
async def _in_one_form(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every refusal the protocol's form, {"error": sentence}."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return _error(413, f"The body is larger than {BODY_SIZE_MAX_BYTES} bytes.")
    except web.HTTPException as refusal:
        return _error(refusal.status, f"{request.method} {request.path[:200]}: {refusal.reason}.")


def _error(status: int, message: str, *, retry_after_s: int | None = None) -> web.Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    body = json.dumps({"error": message})
    return web.Response(status=status, text=body, content_type="application/json", headers=headers)


async def serve(*, port: int, port_file: pathlib.Path | None, threads: int) -> None:
    """Listen until SIGTERM or SIGINT; port 0 takes any free one, written to port_file once listening."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    application = ModelServer(threads=threads).application()
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        chosen_port = runner.addresses[0][1]
        if port_file is not None:
            draft = port_file.with_name(port_file.name + ".new")
            draft.write_text(f"{chosen_port}\n")
            draft.replace(port_file)
        logger.info("model %s, listening on http://%s:%d/v2", MODEL, HOST, chosen_port)
        await stopping.wait()
    finally:
        await runner.cleanup()


def main(arguments: abc.Sequence[str] | None = None) -> int:
    """Run the server until it is told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.servers.model_server")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes any free one")
    parser.add_argument("--port-file", type=pathlib.Path, help="file the chosen port is written to once listening")
    parser.add_argument("--threads", type=int, default=2, choices=range(1, 65), metavar="1..64")
    given = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s model-server %(levelname)s %(message)s"
    )
    # One request takes one core; OpenCV's own threads would only fight over them.
    cv2.setNumThreads(1)
    asyncio.run(serve(port=given.port, port_file=given.port_file, threads=given.threads))
    return 0


if __name__ == "__main__":
    sys.exit(main())
