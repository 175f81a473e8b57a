"""Answer as Triton answers: health, metadata, the repository, inference by tensors, and texts by ``generate``.

Calls of one's own server take no money; each inference is a line of the ledger all the same, with amount 0 and the
request's id as the client's reference, so that work done twice shows. Source: Triton docs/protocol and
src/http_server.cc (read 2026-11-29). Before it: a client. After it: ``tensors``, ``models``, the kit.
"""

import asyncio
import collections
import gzip
import json
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from heddle.core import identity
from heddle.twins.kit import answers, calls, faults, jobs, options, server
from heddle.twins.kserve import models, tensors

EXTENSIONS: Final = (
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
    "generate",
)
VERSION: Final = "2.73.0"
MODEL_VERSION: Final = "1"
_LENGTH: Final = "inference-header-content-length"
_FRAME: Final = frozenset({"id", "text_input", "parameters"})
_JSON: Final = "application/json"


class KserveTwin(server.Twin):
    """One Triton server. It asks for no key, as Triton does not."""

    name: ClassVar[str] = "kserve"
    body_bytes_max: ClassVar[int] = 256 * 1024**2

    def __init__(self, given: options.Options, *, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(given, now_s=now_s)
        self._unloaded: set[str] = set()
        self._totals: dict[str, int] = {}
        self._counts: collections.Counter[str] = collections.Counter()
        self._kept: dict[str, dict[str, identity.JsonValue]] = {
            "logging": {
                "log_file": "",
                "log_info": True,
                "log_warning": True,
                "log_error": True,
                "log_verbose_level": 0,
            },
            "trace/setting": {"trace_level": ["OFF"], "trace_rate": "1000", "trace_count": "-1", "log_frequency": "0"},
        }

    def routes(self) -> Sequence[server.Route]:
        """List the routes; each model route also with a version."""
        plain = [
            ("GET", "/v2", self._server),
            ("GET", "/v2/health/{kind:live|ready}", self._health),
            ("GET", "/v2/models/stats", self._statistics),
            ("POST", "/v2/repository/index", self._index),
            ("POST", "/v2/repository/models/{model}/{move:load|unload}", self._move),
            ("GET", "/v2/{memory:systemsharedmemory|cudasharedmemory}/status", self._no_memory),
            ("GET", "/v2/{settings:logging}", self._settings),
            ("POST", "/v2/{settings:logging}", self._settings),
            ("GET", "/v2/{settings:trace/setting}", self._settings),
            ("POST", "/v2/{settings:trace/setting}", self._settings),
        ]
        of_models = [
            ("GET", "/ready", self._ready),
            ("GET", "/config", self._config),
            ("GET", "/stats", self._statistics),
            ("GET", "", self._metadata),
        ]
        paid = [("/infer", self._infer), ("/generate", self._generate), ("/generate_stream", self._generate)]
        made = [
            server.Route(method=method, path=path, handler=handler, is_open=True) for method, path, handler in plain
        ]
        for base in ("/v2/models/{model}/versions/{version}", "/v2/models/{model}"):
            made += [
                server.Route(method=method, path=base + path, handler=handler, is_open=True)
                for method, path, handler in of_models
            ]
            made += [replace(server.paid(base + path, handler), is_open=True) for path, handler in paid]
        return made

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal."""
        return answers.json_answer(refused.status, {"error": str(refused)}, headers=refused.headers)

    def throttled(self, call: calls.Call, *, wait_s: float) -> calls.Refused:
        """Word a full queue: Triton has no 429."""
        return calls.Refused(503, "unavailable", "Exceeds maximum queue size")

    def broken(self, call: calls.Call) -> calls.Refused:
        """Word a failure of the server."""
        return calls.Refused(500, "internal", "failed to allocate memory for the model's inputs")

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Break a stream off with an error event, or answer somebody else's request."""
        failure = b'data: {"error":"in model \'llm\', the backend failed to generate"}\n\n'
        if answer.media_type != _JSON and len(answer.pieces) > 1:
            return replace(answer, pieces=(*answer.pieces[: len(answer.pieces) // 2], failure))
        return answers.json_answer(200, {"id": "somebody-else", "model_name": "x", "outputs": []})

    # What there is

    async def _server(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, {"name": "triton", "version": VERSION, "extensions": list(EXTENSIONS)})

    async def _health(self, call: calls.Call) -> answers.Answer:
        return answers.Answer(status=200, pieces=(b"",), media_type="text/plain")

    async def _ready(self, call: calls.Call) -> answers.Answer:
        model = models.MODELS.get(call.parameters["model"])
        is_ready = model is not None and model.name not in self._unloaded and _is_version(call)
        return answers.Answer(status=200 if is_ready else 400, pieces=(b"",), media_type="text/plain")

    async def _metadata(self, call: calls.Call) -> answers.Answer:
        model = self._model(call)
        return answers.json_answer(
            200,
            {
                "name": model.name,
                "versions": [MODEL_VERSION],
                "platform": "python",
                "inputs": [put.as_metadata() for put in model.inputs],
                "outputs": [put.as_metadata() for put in model.outputs],
            },
        )

    async def _config(self, call: calls.Call) -> answers.Answer:
        model = self._model(call)
        told: dict[str, identity.JsonValue] = {
            "name": model.name,
            "platform": "",
            "backend": "python",
            "max_batch_size": 0,
            "input": [{**put.as_config(), "optional": put.is_optional} for put in model.inputs],
            "output": [put.as_config() for put in model.outputs],
            "model_transaction_policy": {"decoupled": model.is_decoupled},
        }
        if model.is_sequential:
            told["sequence_batching"] = {"direct": {}, "max_sequence_idle_microseconds": 60_000_000}
        return answers.json_answer(200, told)

    async def _statistics(self, call: calls.Call) -> answers.Answer:
        chosen = [self._model(call)] if "model" in call.parameters else list(models.MODELS.values())
        told = [
            {
                "name": model.name,
                "version": MODEL_VERSION,
                "last_inference": int(self.now_s() * 1_000),
                "inference_count": self._counts[model.name],
                "execution_count": self._counts[model.name],
                "inference_stats": {"success": {"count": self._counts[model.name], "ns": 0}},
                "batch_stats": [],
            }
            for model in chosen
        ]
        return answers.json_answer(200, {"model_stats": told})

    async def _index(self, call: calls.Call) -> answers.Answer:
        told = [
            {"name": name, "version": MODEL_VERSION, "state": "UNAVAILABLE", "reason": "unloaded"}
            if name in self._unloaded
            else {"name": name, "version": MODEL_VERSION, "state": "READY"}
            for name in models.MODELS
        ]
        return answers.Answer(status=200, pieces=(json.dumps(told).encode(),))

    async def _move(self, call: calls.Call) -> answers.Answer:
        name = call.parameters["model"]
        if name not in models.MODELS:
            raise calls.Refused(400, "invalid_arg", f"failed to load '{name}', failed to poll from model repository")
        if call.parameters["move"] == "load":
            self._unloaded.discard(name)
        else:
            self._unloaded.add(name)
        return answers.Answer(status=200, pieces=(b"",))

    async def _no_memory(self, call: calls.Call) -> answers.Answer:
        return answers.Answer(status=200, pieces=(b"[]",))

    async def _settings(self, call: calls.Call) -> answers.Answer:
        kept = self._kept[call.parameters["settings"]]
        if call.method == "POST":
            kept.update({name: value for name, value in call.json().items() if name in kept})
        return answers.json_answer(200, kept)

    # Inference

    async def _infer(self, call: calls.Call) -> answers.Answer:
        model = self._model(call)
        try:
            length = call.headers.get(_LENGTH)
            request = tensors.read(_body(call), header_bytes=int(length) if length and length.isdigit() else None)
            model.check(request)
            await self._worked(call, model, request.id, timeout_us=request.parameters.get("timeout"))
            outputs = model.work(request, self._totals)
        except tensors.TensorRefused as error:
            raise calls.Refused(400, "invalid_arg", str(error)) from None
        unknown = set(request.outputs) - {tensor.name for tensor in outputs}
        if unknown:
            message = f"unexpected inference output '{min(unknown)}' for model '{model.name}'"
            raise calls.Refused(400, "invalid_arg", message)
        wanted = [tensor for tensor in outputs if not request.outputs or tensor.name in request.outputs]
        body, head_bytes = tensors.write(request, wanted, model=model.name, version=MODEL_VERSION)
        if head_bytes is None:
            return answers.Answer(status=200, pieces=(body,))
        headers = {"Inference-Header-Content-Length": str(head_bytes)}
        return answers.Answer(status=200, pieces=(body,), media_type="application/octet-stream", headers=headers)

    async def _generate(self, call: calls.Call) -> answers.Answer:
        model = self._model(call)
        given = call.json()
        text = given.get("text_input")
        unknown = set(given) - _FRAME - {put.name for put in model.inputs}
        if not model.is_decoupled or not isinstance(text, str) or unknown:
            message = f"missing text_input, or unexpected fields {sorted(unknown)}, for model '{model.name}'"
            raise calls.Refused(400, "invalid_arg", message)
        request_id = given.get("id")
        await self._worked(call, model, request_id if isinstance(request_id, str) else "")
        told = given.get("parameters")
        count = told.get("max_tokens", 8) if isinstance(told, dict) else 8
        words = models.words_of(text, count=count if type(count) is int and count > 0 else 8)
        frame = {"model_name": model.name, "model_version": MODEL_VERSION}
        if isinstance(request_id, str) and request_id:
            frame = {"id": request_id, **frame}
        if not call.path.endswith("_stream"):
            return answers.json_answer(200, {**frame, "text_output": "".join(words)})
        events = [
            b"data: " + json.dumps({**frame, "text_output": word}, separators=(",", ":")).encode() + b"\n\n"
            for word in words
        ]
        # The end is an empty piece: the last chunk, and nothing else, says that the stream is whole.
        return answers.stream([*events, b""], pause_s=self.plan.latency_s / max(1, len(events)))

    async def _worked(
        self, call: calls.Call, model: models.Model, request_id: str, *, timeout_us: identity.JsonValue = None
    ) -> None:
        """Note the work in the ledger, and take the time for it that it is fated to take."""
        order = jobs.Order(
            operation="inference",
            model=model.name,
            digest=call.digest,
            amount_nano_usd=0,
            id_prefix="inference-",
            client_reference=request_id or None,
            is_job=False,
        )
        job = await self.jobs.pay(order)
        if job.paid.fate.is_failed and call.fault is not faults.RequestFault.LIE:
            raise calls.Refused(500, "internal", f"in model '{model.name}', the backend raised")
        if isinstance(timeout_us, int) and 0 < timeout_us < job.paid.fate.latency_s * 1e6:
            raise calls.Refused(503, "unavailable", "Request timeout expired")
        self._counts[model.name] += 1
        if not call.path.endswith("_stream"):
            await asyncio.sleep(job.paid.fate.latency_s)

    def _model(self, call: calls.Call) -> models.Model:
        name = call.parameters["model"]
        model = models.MODELS.get(name)
        if model is None:
            raise calls.Refused(404, "not_found", f"Request for unknown model: '{name}' is not found")
        if name in self._unloaded:
            raise calls.Refused(503, "unavailable", f"Request for unknown model: '{name}' has no available versions")
        if not _is_version(call):
            version = call.parameters["version"]
            raise calls.Refused(404, "not_found", f"Request for unknown model: '{name}' version {version} is not found")
        return model


def _is_version(call: calls.Call) -> bool:
    return call.parameters.get("version", MODEL_VERSION) == MODEL_VERSION


def _body(call: calls.Call) -> bytes:
    """Undo the compression of a request's body. aiohttp undoes what it knows before the twin sees it."""
    match call.headers.get("content-encoding", ""):
        case "gzip" if call.body.startswith(b"\x1f\x8b"):
            return gzip.decompress(call.body)
        case "deflate" if call.body[:1] == b"\x78":
            return zlib.decompress(call.body)
        case _:
            return call.body
