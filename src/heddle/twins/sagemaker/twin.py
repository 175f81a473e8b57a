"""Answer as SageMaker's runtime does, real-time and asynchronous, and as the S3 that jobs end in.

Every endpoint name is there, and its model draws a picture. Runtime and S3 (in path style) share one port. An
asynchronous job ends as an object at its output or its failure location; there is no other way to learn of it. A job
that waits longer than its RequestTTLSeconds leaves nothing anywhere. Sources: botocore 1.44.8, models
`sagemaker-runtime` and `s3`, read 2026-11-29. Before it: ``kit.server``. After it: the answer.
"""

import base64
import collections
import dataclasses
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import ClassVar, Final
from xml.sax import saxutils

from heddle.core import identity
from heddle.twins.kit import answers, calls, faults, jobs, media, options, server
from heddle.twins.sagemaker import signature

ACCESS_KEY: Final = "AKIATWINTWINTWINTWIN"  # the secret key is the twin's key
BUCKET: Final = "twin-inference"
OUTPUT_PATH: Final = "out"
FAILURE_PATH: Final = "failed"
PRICE_NANO_USD: Final = 1_000_000
REALTIME_BYTES_MAX: Final = 6_291_456
INLINE_BYTES_MAX: Final = 128_000
OBJECTS_MAX: Final = 1_000
OBJECTS_BYTES_MAX: Final = 512 * 1024**2
_FAILURE: Final = b"Received server error (500) from primary with message 'CUDA out of memory'"


class SageMakerTwin(server.Twin):
    """The twin of SageMaker's runtime and of S3."""

    name: ClassVar[str] = "sagemaker"

    def __init__(self, given: options.Options, *, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(given, now_s=now_s)
        self._objects: collections.OrderedDict[str, bytes] = collections.OrderedDict()
        self._objects_bytes = 0

    def routes(self) -> Sequence[server.Route]:
        """List the routes; a bucket may have any name but ``endpoints``, so it comes last."""
        stored = "/{bucket}/{key:.+}"
        return [
            server.paid("/endpoints/{endpoint}/invocations", self._invoke),
            server.paid("/endpoints/{endpoint}/async-invocations", self._invoke_async),
            server.question("GET", stored, self._get_object),
            server.question("HEAD", stored, self._get_object),
            server.Route(method="PUT", path=stored, handler=self._put_object),
        ]

    def is_authorised(self, call: calls.Call) -> bool:
        """Tell whether a request is signed; why it is not is told by ``unauthorised``."""
        return self._signature_trouble(call) is None

    def unauthorised(self, call: calls.Call) -> calls.Refused:
        """Word a 403."""
        trouble = self._signature_trouble(call)
        assert trouble is not None
        return calls.Refused(403, trouble.code, str(trouble), field=_place(call))

    def throttled(self, call: calls.Call, *, wait_s: float) -> calls.Refused:
        """Word what AWS says when asked too often, which is a 400 and names no time."""
        return calls.Refused(400, "ThrottlingException", "Rate exceeded")

    def broken(self, call: calls.Call) -> calls.Refused:
        """Word a 5xx before acceptance."""
        return calls.Refused(503, "ServiceUnavailable", "The service is currently unavailable.")

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal: JSON and a header for the runtime, XML for S3, which ``field`` tells apart."""
        if refused.field is None and refused.code != "service_unavailable":
            headers = {
                "x-amzn-errortype": refused.code,
                "x-amzn-RequestId": str(uuid.UUID(int=self._count)),
                **refused.headers,
            }
            return answers.json_answer(refused.status, {"Message": str(refused)}, headers=headers)
        code = "SlowDown" if refused.code == "service_unavailable" else refused.code
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>{saxutils.escape(str(refused))}</Message>"
            f"<Key>{saxutils.escape(refused.field or '')}</Key></Error>"
        )
        return answers.Answer(status=refused.status, pieces=(xml.encode(),), media_type="application/xml")

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Answer 200 with an error; of an asynchronous job, state an output in somebody else's bucket."""
        if answer.status != 202:
            return dataclasses.replace(self.error(self.broken(call)), status=200)
        headers = {**answer.headers, "X-Amzn-SageMaker-OutputLocation": "s3://somebody-else/out/1.out"}
        return dataclasses.replace(answer, headers=headers)

    def finish(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Leave out the body of an answer to HEAD."""
        return dataclasses.replace(answer, pieces=(b"",)) if call.method == "HEAD" else answer

    async def _invoke(self, call: calls.Call) -> answers.Answer:
        if len(call.body) > REALTIME_BYTES_MAX:
            raise calls.Refused(413, "ValidationError", f"Body must be at most {REALTIME_BYTES_MAX} bytes")
        given = self._asked(call, call.body)
        job = await self.jobs.pay(self._order(call, given, is_job=False))
        if job.paid.fate.is_failed:
            message = 'Received server error (500) from primary with message "CUDA out of memory".'
            more = {"OriginalStatusCode": 500, "OriginalMessage": "CUDA out of memory", "LogStreamArn": ""}
            headers = {"x-amzn-errortype": "ModelError"}
            return answers.json_answer(424, {"Message": message, **more}, headers=headers)
        data, media_type = _made(job, accept=call.headers.get("accept", ""))
        headers = {"x-Amzn-Invoked-Production-Variant": "AllTraffic"}
        return answers.Answer(status=200, pieces=(data,), media_type=media_type, headers=headers)

    async def _invoke_async(self, call: calls.Call) -> answers.Answer:
        location = call.headers.get("x-amzn-sagemaker-inputlocation")
        if (location is None) == (not call.body) or len(call.body) > INLINE_BYTES_MAX:
            raise calls.Refused(400, "ValidationError", "Provide exactly one of InputLocation and Body of 128000 bytes")
        body = call.body
        if location is not None:
            place = location.removeprefix("s3:/")
            if place not in self._objects:
                raise calls.Refused(400, "ValidationError", f"Could not access object at {location}")
            body = self._objects[place]
        order = self._order(call, self._asked(call, body), is_job=True)
        output, failure = _ends(order)
        data = {**order.data, "output": output, "failure": failure, "accept": call.headers.get(_ACCEPT, "")}
        await self.jobs.pay(dataclasses.replace(order, data=data))
        headers = {
            "X-Amzn-SageMaker-OutputLocation": f"s3:/{output}",
            "X-Amzn-SageMaker-FailureLocation": f"s3:/{failure}",
        }
        return answers.json_answer(202, {"InferenceId": order.client_reference}, headers=headers)

    async def _get_object(self, call: calls.Call) -> answers.Answer:
        place = _place(call)
        assert place is not None
        if place in self._objects:
            return answers.Answer(status=200, pieces=(self._objects[place],), media_type="binary/octet-stream")
        for job in self.jobs.newest_first(operation="async"):
            data = job.paid.data
            if place == data["output"] and job.status is jobs.Status.SUCCEEDED:
                made, media_type = _made(job, accept=data["accept"])
                return answers.Answer(status=200, pieces=(made,), media_type=media_type)
            if place == data["failure"] and job.status is jobs.Status.FAILED:
                return answers.Answer(status=200, pieces=(_FAILURE,), media_type="text/plain")
        raise calls.Refused(404, "NoSuchKey", "The specified key does not exist.", field=place)

    async def _put_object(self, call: calls.Call) -> answers.Answer:
        place = _place(call)
        assert place is not None
        self._objects_bytes += len(call.body) - len(self._objects.pop(place, b""))
        self._objects[place] = call.body
        while len(self._objects) > OBJECTS_MAX or self._objects_bytes > OBJECTS_BYTES_MAX:
            _, gone = self._objects.popitem(last=False)
            self._objects_bytes -= len(gone)
        etag = hashlib.md5(call.body, usedforsecurity=False).hexdigest()
        return answers.Answer(status=200, pieces=(b"",), media_type="text/plain", headers={"ETag": f'"{etag}"'})

    def _asked(self, call: calls.Call, body: bytes) -> dict[str, identity.JsonValue]:
        """Read what the model is asked, as its container would."""
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise calls.Refused(400, "ValidationError", "The twin's model takes a JSON object")
        return value

    def _order(self, call: calls.Call, given: dict[str, identity.JsonValue], *, is_job: bool) -> jobs.Order:
        named = call.headers.get("x-amzn-sagemaker-inference-id") or str(
            uuid.uuid5(uuid.NAMESPACE_OID, call.request_id)
        )
        return jobs.Order(
            operation="async" if is_job else "invoke",
            model=call.parameters["endpoint"],
            digest=call.digest,
            amount_nano_usd=PRICE_NANO_USD,
            id_prefix="",
            client_reference=named,
            is_job=is_job,
            data={
                "input": given,
                "extension": call.headers.get("x-amzn-sagemaker-s3outputpathextension", ""),
                "filename": call.headers.get("x-amzn-sagemaker-filename", ""),
                "is_lie": call.fault is faults.RequestFault.LIE,
            },
        )

    def _signature_trouble(self, call: calls.Call) -> signature.SignatureRefused | None:
        try:
            service = signature.verify(
                method=call.method,
                raw_path=call.request.rel_url.raw_path,
                query=call.request.rel_url.raw_query_string,
                headers=call.headers,
                body=call.body,
                access_key=ACCESS_KEY,
                secret_key=self.options.api_key,
                now_s=self.now_s(),
            )
        except signature.SignatureRefused as error:
            return error
        if service != ("sagemaker" if _place(call) is None else "s3"):
            return signature.SignatureRefused(
                "InvalidSignatureException", "Credential should be scoped to this service"
            )
        return None


_ACCEPT: Final = "x-amzn-sagemaker-accept"


def _place(call: calls.Call) -> str | None:
    """Give the object that a request is about; None for one to the runtime."""
    bucket, key = call.parameters.get("bucket"), call.parameters.get("key")
    return None if bucket is None else f"/{bucket}/{key}"


def _ends(order: jobs.Order) -> tuple[str, str]:
    """Give where a job writes its output and its failure."""
    extension = str(order.data["extension"]).strip("/")
    inner = f"{extension}/" if extension else ""
    named = order.data["filename"]
    output, failure = (
        (named, named) if named else (f"{order.client_reference}.out", f"{order.client_reference}-error.out")
    )
    return f"/{BUCKET}/{OUTPUT_PATH}/{inner}{output}", f"/{BUCKET}/{FAILURE_PATH}/{inner}{failure}"


def _made(job: jobs.Job, *, accept: str) -> tuple[bytes, str]:
    """Make what the model's container answers: a picture, raw or inside of JSON."""
    picture = media.png(job.paid.digest)
    if accept == "image/png":
        return picture, "image/png"
    seed = job.paid.data["input"].get("seed")
    value = {"image": base64.b64encode(picture).decode(), "seed": seed if isinstance(seed, int) else 0}
    return json.dumps(value).encode(), "application/json"
