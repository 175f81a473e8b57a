"""Answer as Hugging Face's servers answer: a dedicated endpoint at ``/``, text generation inference beside it.

What comes back from ``/`` follows from what is sent, since a real endpoint has one task: a picture or sound is
classified, whether it is the body or base64 in a JSON; another JSON gives a picture to whom accepts ``image/png``, a
text when it has ``parameters``, and else an embedding. Sources: text-generation-inference router/src/{lib,server}.rs,
the inference documentation, huggingface_hub 2.4 (read 2026-11-29). Before it: a client. After it: ``tasks``, the kit.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from heddle.core import identity
from heddle.twins.huggingface import tasks
from heddle.twins.kit import answers, calls, jobs, media, server

MODEL: Final = "acme/twin"
PRICE_NANO_USD: Final = 1_000_000
LOADING_S: Final = 20.0
# What text generation inference names; the proxy in front of it gives an error without a type.
ERROR_TYPES: Final = frozenset({"generation", "incomplete_generation", "overloaded", "validation"})


class HuggingfaceTwin(server.Twin):
    """One server behind a key."""

    name: ClassVar[str] = "huggingface"

    def routes(self) -> Sequence[server.Route]:
        """List the routes."""
        return [
            server.paid("/", self._predict),
            server.paid("/hf-inference/models/{owner}/{model}", self._predict),
            server.paid("/generate", self._generate),
            server.paid("/generate_stream", self._generate_stream),
            server.Route(method="GET", path="/health", handler=self._health, is_open=True),
            server.Route(method="GET", path="/info", handler=self._info),
        ]

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal; ``loading`` tells for how long."""
        if refused.code == "loading":
            body: dict[str, identity.JsonValue] = {"error": str(refused), "estimated_time": LOADING_S}
        else:
            body = {"error": str(refused)}
            if refused.code in ERROR_TYPES:
                body["error_type"] = refused.code
        return answers.json_answer(refused.status, body, headers=refused.headers)

    def unauthorised(self, call: calls.Call) -> calls.Refused:
        """Word a 401."""
        return calls.Refused(401, "unauthorized", "Invalid credentials in Authorization header")

    def throttled(self, call: calls.Call, *, wait_s: float) -> calls.Refused:
        """Word a 429: text generation inference says no time."""
        return calls.Refused(429, "overloaded", "Model is overloaded")

    def broken(self, call: calls.Call) -> calls.Refused:
        """Word a model that is loading: nothing was done."""
        return calls.Refused(503, "loading", f"Model {MODEL} is currently loading")

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Break a stream off with an error event, or answer an error under status 200."""
        failure = {"error": "Request failed during generation: CUDA error", "error_type": "generation"}
        if len(answer.pieces) > 1:
            return replace(answer, pieces=(*answer.pieces[: len(answer.pieces) // 2], _event(failure)))
        return answers.json_answer(200, failure)

    async def _health(self, call: calls.Call) -> answers.Answer:
        return answers.Answer(status=200, pieces=(b"",), media_type="text/plain")

    async def _info(self, call: calls.Call) -> answers.Answer:
        told = {"model_id": MODEL, "model_dtype": "float16", "max_input_tokens": 4_096, "version": "3.3.6"}
        return answers.json_answer(200, told)

    async def _predict(self, call: calls.Call) -> answers.Answer:
        """Do the task that the request asks for."""
        if not call.headers.get("content-type", "").startswith("application/json"):
            if not call.body:
                raise calls.Refused(400, "validation", "The body is empty")
            return await self._classified(call, call.body, parameters=None)
        given = call.json()
        if "inputs" not in given:
            raise calls.Refused(422, "validation", "Failed to deserialize the JSON body: missing field `inputs`")
        medium = tasks.medium_in(given["inputs"])
        if call.headers.get("accept", "").startswith("image/"):
            await self._worked(call)
            return answers.Answer(status=200, pieces=(media.png(json.dumps(given)),), media_type="image/png")
        if medium is not None:
            return await self._classified(call, medium, parameters=given.get("parameters"))
        if given.get("stream") is True:
            return await self._generate_stream(call)
        if tasks.is_text(given):
            whole = await self._generate(call)
            return replace(whole, pieces=(b"[" + whole.body + b"]",))  # as the servers before it did
        await self._worked(call)
        return answers.Answer(status=200, pieces=(json.dumps(tasks.embedded(given["inputs"])).encode(),))

    async def _classified(self, call: calls.Call, data: bytes, *, parameters: identity.JsonValue) -> answers.Answer:
        try:
            labels = tasks.classified(data, parameters=parameters)
        except tasks.Invalid as error:
            raise calls.Refused(422, "validation", str(error)) from None
        await self._worked(call)
        return answers.Answer(status=200, pieces=(json.dumps(labels).encode(),))

    async def _generate(self, call: calls.Call) -> answers.Answer:
        given = call.json()
        prompt, tokens = _tokens(given)
        await self._worked(call)
        told: dict[str, identity.JsonValue] = {"generated_text": "".join(tokens)}
        if _wants_details(given):
            told["details"] = tasks.details(tokens, is_stream=False, prompt=prompt)
        headers = {
            "x-compute-type": "gpu+twin",
            "x-prompt-tokens": str(tasks.input_length(prompt)),
            "x-generated-tokens": str(len(tokens)),
        }
        return answers.json_answer(200, told, headers=headers)

    async def _generate_stream(self, call: calls.Call) -> answers.Answer:
        """Write token by token; the last event holds the whole text."""
        given = call.json()
        prompt, tokens = _tokens(given)
        await self._worked(call, is_waited=False)
        events = []
        for number, text in enumerate(tokens, start=1):
            is_last = number == len(tokens)
            told: dict[str, identity.JsonValue] = {
                "index": number,
                "token": tasks.token(number, text),
                "generated_text": "".join(tokens) if is_last else None,
                "details": None,
            }
            if is_last and _wants_details(given):
                told["details"] = tasks.details(tokens, is_stream=True, prompt=prompt)
            events.append(_event(told))
        # A comment keeps the connection alive, and makes even one token a stream.
        pause_s = self.plan.latency_s / len(events)
        return answers.stream([b":\n\n", *events], headers={"x-accel-buffering": "no"}, pause_s=pause_s)

    async def _worked(self, call: calls.Call, *, is_waited: bool = True) -> None:
        """Take payment, and the time that the work is fated to take."""
        order = jobs.Order(
            operation="predict",
            model=MODEL,
            digest=call.digest,
            amount_nano_usd=PRICE_NANO_USD,
            id_prefix="call_",
            is_job=False,
        )
        fate = (await self.jobs.pay(order)).paid.fate
        if fate.is_failed:
            raise calls.Refused(424, "generation", "Request failed during generation: CUDA error")
        if is_waited:
            await asyncio.sleep(fate.latency_s)


def _tokens(given: dict[str, identity.JsonValue]) -> tuple[str, list[str]]:
    try:
        return tasks.tokens_of(given)
    except tasks.Invalid as error:
        raise calls.Refused(422, "validation", str(error)) from None


def _wants_details(given: Mapping[str, identity.JsonValue]) -> bool:
    parameters = given.get("parameters")
    return isinstance(parameters, dict) and parameters.get("details") is True


def _event(value: identity.JsonValue) -> bytes:
    return b"data:" + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
