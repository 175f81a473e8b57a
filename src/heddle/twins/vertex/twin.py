"""Answer as Vertex AI does: predictions, long-running operations, tokens, and media in Cloud Storage.

Every project, location, endpoint and model is there. Models of publishers are asked after by ``fetchPredictOperation``,
operations of endpoints by themselves. What is predicted is a picture, by a model with ``embedding`` in its name numbers
for each instance, by an operation a video; with ``storageUri`` a video is written to Cloud Storage, else it is inline.
Operations of which nothing came are given back. Sources: cloud.google.com/vertex-ai, REST reference, "Veo on Vertex AI
API", "Text embeddings API", google-auth 2.63.0, google-genai 2.34.0, read 2026-11-29. Before it: ``kit.server``. After
it: the answer.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import ClassVar, Final
from urllib import parse

from heddle.core import identity
from heddle.twins.kit import answers, calls, faults, jobs, media, server

PICTURE_NANO_USD: Final = 40_000_000
EMBEDDING_NANO_USD: Final = 10_000
VIDEO_NANO_USD_PER_S: Final = 400_000_000
DURATION_DEFAULT_S: Final = 8
SAMPLES_MAX: Final = 4
TOKEN_LIFE_S: Final = 3_600
FILTERED_WORD: Final = "forbidden"  # a prompt that has it is filtered by policy
AUDIENCE: Final = "https://oauth2.googleapis.com/token"  # google-auth writes this, whatever the key's token_uri is
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_VERSION: Final = "/{version:v1(?:beta1)?}"  # google-genai asks for v1beta1
_REASON: Final = "The prompt could not be submitted. It may violate our policies. Support codes: 58061214"
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class VertexTwin(server.Twin):
    """The twin of Vertex AI."""

    name: ClassVar[str] = "vertex"
    is_failure_refunded = True

    def routes(self) -> Sequence[server.Route]:
        """List the routes."""
        return [
            server.Route(method="POST", path="/token", handler=self._token, is_open=True),
            server.paid(f"{_VERSION}/{{resource:projects/[^:]+}}:predict", self._predict),
            server.paid(f"{_VERSION}/{{resource:projects/[^:]+}}:predictLongRunning", self._start),
            server.question("POST", f"{_VERSION}/{{resource:projects/[^:]+}}:fetchPredictOperation", self._fetch),
            server.Route(method="POST", path=f"{_VERSION}/{{operation:projects/[^:]+}}:cancel", handler=self._cancel),
            server.question("GET", f"{_VERSION}/{{operation:projects/[^:]+}}", self._get),
            server.question("GET", "/storage/v1/b/{bucket}/o/{object:.+}", self._object),
        ]

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal as google.rpc.Status in JSON."""
        status = _STATUSES.get(refused.status, "UNKNOWN")
        error = {"code": refused.status, "message": str(refused), "status": status}
        return answers.json_answer(refused.status, {"error": error}, headers=refused.headers)

    def throttled(self, call: calls.Call, *, wait_s: float) -> calls.Refused:
        """Word a 429, which names no time where capacity is shared."""
        return calls.Refused(429, "", "Resource exhausted, please try again later.")

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Answer a prediction with an error under status 200; an operation lies when it is over."""
        is_job = call.path.endswith(":predictLongRunning")
        return answer if is_job else super().lie(call, answer)

    async def _token(self, call: calls.Call) -> answers.Answer:
        """Give a token for a service account's assertion (RFC 7523)."""
        form = parse.parse_qs(call.body.decode("latin-1"))
        parts = form.get("assertion", [""])[0].split(".")
        if form.get("grant_type") != [GRANT] or len(parts) != 3:
            return answers.json_answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT"})
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        try:
            claims = json.loads(base64.urlsafe_b64decode(padded))
            is_for_us = claims["aud"] == AUDIENCE and claims["exp"] > self.now_s()
        except (ValueError, KeyError, TypeError):
            is_for_us = False
        if not is_for_us:
            return answers.json_answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT"})
        token = {"access_token": self.options.api_key, "expires_in": TOKEN_LIFE_S, "token_type": "Bearer"}
        return answers.json_answer(200, token)

    async def _predict(self, call: calls.Call) -> answers.Answer:
        order = self._order(call, is_job=False)
        job = await self.jobs.pay(order)
        if _is_embedding(order.model):
            embedded: list[identity.JsonValue] = [_embedded(instance) for instance in call.json()["instances"]]
            return answers.json_answer(200, {"predictions": embedded, "deployedModelId": "7", "model": order.model})
        picture = base64.b64encode(media.png(job.paid.digest)).decode()
        predictions = [{"mimeType": "image/png", "bytesBase64Encoded": picture}] * order.data["samples"]
        if order.data["is_filtered"]:
            predictions = []
        return answers.json_answer(200, {"predictions": predictions, "deployedModelId": "7", "model": order.model})

    async def _start(self, call: calls.Call) -> answers.Answer:
        job = await self.jobs.pay(self._order(call, is_job=True))
        return answers.json_answer(200, {"name": _name(job)})

    async def _fetch(self, call: calls.Call) -> answers.Answer:
        name, resource = call.json().get("operationName"), call.parameters["resource"]
        if not isinstance(name, str) or not name.startswith(f"{resource}/operations/"):
            raise calls.Refused(400, "", "operationName must be an operation of this model")
        return answers.json_answer(200, self._shown(self._found(name)))

    async def _get(self, call: calls.Call) -> answers.Answer:
        name = call.parameters["operation"]
        if "/publishers/" in name:
            raise calls.Refused(404, "", "Operations of publishers' models are read by fetchPredictOperation.")
        return answers.json_answer(200, self._shown(self._found(name)))

    async def _cancel(self, call: calls.Call) -> answers.Answer:
        await self.jobs.cancel(self._found(call.parameters["operation"]).id)
        return answers.json_answer(200, {})

    async def _object(self, call: calls.Call) -> answers.Answer:
        name = call.parameters["object"]
        place = f"gs://{call.parameters['bucket']}/{name}"
        job = self.jobs.find(name.rpartition("/")[0].rpartition("/")[2])
        if call.query.get("alt") != "media" or job is None or place not in _places(job):
            raise calls.Refused(404, "", f"No such object: {place[5:]}")
        if job.status is not jobs.Status.SUCCEEDED:
            raise calls.Refused(404, "", f"No such object: {place[5:]}")
        return answers.Answer(status=200, pieces=(_drawn(job, _places(job).index(place)),), media_type="video/mp4")

    def _order(self, call: calls.Call, *, is_job: bool) -> jobs.Order:
        given, resource = call.json(), call.parameters["resource"]
        instances, parameters = given.get("instances"), given.get("parameters", {})
        if not isinstance(instances, list) or not instances or not isinstance(instances[0], dict):
            raise calls.Refused(400, "", "instances must be a list of objects")
        if not isinstance(parameters, dict):
            raise calls.Refused(400, "", "parameters must be an object")
        storage = parameters.get("storageUri", "")
        if not isinstance(storage, str) or (storage and not storage.startswith("gs://")):
            raise calls.Refused(400, "", "storageUri must begin with gs://")
        samples = _whole(parameters, "sampleCount", default=1, most=SAMPLES_MAX)
        duration_s = _whole(parameters, "durationSeconds", default=DURATION_DEFAULT_S, most=60)
        price = VIDEO_NANO_USD_PER_S * duration_s if is_job else PICTURE_NANO_USD
        if _is_embedding(resource):
            price = EMBEDDING_NANO_USD * len(instances)
        return jobs.Order(
            operation="operation" if is_job else "predict",
            model=resource,
            digest=call.digest,
            amount_nano_usd=price * samples,
            id_prefix="",
            is_job=is_job,
            data={
                "samples": samples,
                "storage": storage.rstrip("/"),
                "is_filtered": FILTERED_WORD in str(instances[0].get("prompt", "")),
                "is_lie": call.fault is faults.RequestFault.LIE,
            },
        )

    def _found(self, name: str) -> jobs.Job:
        job = self.jobs.find(name.rpartition("/")[2])
        if job is None or _name(job) != name:
            raise calls.Refused(404, "", f"Operation not found: {name}")
        return job

    def _shown(self, job: jobs.Job) -> dict[str, identity.JsonValue]:
        name = {"name": _name(job)}
        match job.status:
            case jobs.Status.QUEUED | jobs.Status.RUNNING:
                return dict(name)
            case jobs.Status.CANCELLED:
                return {**name, "done": True, "error": {"code": 1, "message": "Operation was cancelled."}}
            case jobs.Status.FAILED:
                return {**name, "done": True, "error": {"code": 13, "message": "Internal error. Please try again."}}
            case jobs.Status.SUCCEEDED:
                return {**name, "done": True, "response": _response(job)}


def _response(job: jobs.Job) -> dict[str, identity.JsonValue]:
    """Word what came of an operation; for a lie, one that succeeded and made nothing."""
    kind = {"@type": "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse"}
    if job.paid.data["is_lie"]:
        return dict(kind)
    if job.paid.data["is_filtered"]:
        count = job.paid.data["samples"]
        return {**kind, "raiMediaFilteredCount": count, "raiMediaFilteredReasons": [_REASON] * count}
    places = _places(job)
    videos: list[identity.JsonValue] = [{"gcsUri": place, "mimeType": "video/mp4"} for place in places]
    for number in range(0 if places else job.paid.data["samples"]):
        text = base64.b64encode(_drawn(job, number)).decode()
        videos.append({"bytesBase64Encoded": text, "mimeType": "video/mp4"})
    return {**kind, "raiMediaFilteredCount": 0, "videos": videos}


def _is_embedding(resource: str) -> bool:
    return "embedding" in resource.rpartition("/")[2]


def _embedded(instance: identity.JsonValue) -> dict[str, identity.JsonValue]:
    """Give an instance's numbers, always the same for the same text."""
    text = json.dumps(instance, sort_keys=True).encode()
    values: list[identity.JsonValue] = [round(byte / 255, 4) for byte in hashlib.sha256(text).digest()[:8]]
    statistics: dict[str, identity.JsonValue] = {"token_count": len(text) // 4 + 1, "truncated": False}
    return {"embeddings": {"values": values, "statistics": statistics}}


def _name(job: jobs.Job) -> str:
    """Give an operation's name: below its model, or below the location of its endpoint."""
    resource = job.paid.model
    owner = resource if "/publishers/" in resource else resource.partition("/endpoints/")[0]
    return f"{owner}/operations/{job.id}"


def _places(job: jobs.Job) -> list[str]:
    """Give where the videos of a job are written; none for those that are inline."""
    storage = job.paid.data["storage"]
    return [f"{storage}/{job.id}/sample_{number}.mp4" for number in range(job.paid.data["samples"])] if storage else []


def _drawn(job: jobs.Job, number: int) -> bytes:
    return media.mp4(f"{job.paid.digest}/{number}")


def _whole(parameters: dict[str, identity.JsonValue], key: str, *, default: int, most: int) -> int:
    """Read a whole number; Google's REST client writes 2 as 2.0, since the parameters are a protobuf Value."""
    value = parameters.get(key, default)
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    if not is_whole or not 1 <= value <= most:
        raise calls.Refused(400, "", f"{key} must be from 1 to {most}")
    return int(value)
