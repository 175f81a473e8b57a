"""Answer as MLflow's scoring server answers: ``/invocations``, ``/ping``, ``/health`` and ``/version``.

Calls of one's own server take no money; each scoring is a line of the ledger all the same, with amount 0, so that work
done twice shows. Source: mlflow-skinny 3.17.2, whose server is asked the same in tests/vendors. Before
it: a client. After it: ``requests``, the kit.
"""

import asyncio
import http
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from heddle.core import identity
from heddle.twins.kit import answers, calls, jobs, server
from heddle.twins.mlflow import requests

VERSION: Final = "3.17.2"
CONTENT_TYPES: Final = ("text/csv", "application/json", "application/vnd.apache.parquet")
EVALUATION: Final = "evaluation"
_CODES: Final[Mapping[int, str]] = {
    400: "BAD_REQUEST",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}


class MlflowTwin(server.Twin):
    """One scoring server. It asks for no key, as MLflow does not."""

    name: ClassVar[str] = "mlflow"

    def routes(self) -> Sequence[server.Route]:
        """List the routes."""
        made = [
            server.paid("/invocations", self._invoke),
            server.Route(method="GET", path="/ping", handler=self._ping),
            server.Route(method="GET", path="/health", handler=self._ping),
            server.Route(method="GET", path="/version", handler=self._version),
        ]
        return [replace(route, is_open=True) for route in made]

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal; MLflow knows its errors by a code, and the framework below it tells of paths by a detail."""
        if refused.status in (404, 405):
            return answers.json_answer(refused.status, {"detail": http.HTTPStatus(refused.status).phrase})
        body: dict[str, identity.JsonValue] = {
            "error_code": _CODES.get(refused.status, "BAD_REQUEST"),
            "message": str(refused),
        }
        if refused.status == 400:
            body |= {"sqlstate": "KAM00", "error_class": "INVALID_PARAMETER_VALUE"}
        if refused.code == EVALUATION:
            body["stack_trace"] = "Traceback (most recent call last): …"
        return answers.json_answer(refused.status, body, headers=refused.headers)

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Answer with a number that JSON has no word for, as the server does for a model that gives none."""
        return replace(answer, pieces=(b'{"predictions": [NaN]}',))

    async def _ping(self, call: calls.Call) -> answers.Answer:
        return answers.Answer(status=200, pieces=(b"\n",))

    async def _version(self, call: calls.Call) -> answers.Answer:
        return answers.Answer(status=200, pieces=(VERSION.encode(),))

    async def _invoke(self, call: calls.Call) -> answers.Answer:
        given = call.headers.get("content-type", "")
        if trouble := requests.type_trouble(given, known=CONTENT_TYPES):
            return answers.Answer(status=415, pieces=(trouble.encode(),), media_type="text/plain; charset=utf-8")
        try:
            answer = requests.scored(call.body, media_type=given.partition(";")[0].strip())
        except requests.BadRequest as error:
            raise calls.Refused(400, "BAD_REQUEST", str(error)) from None
        except requests.Unfit as error:
            raise calls.Refused(400, EVALUATION, str(error)) from None
        order = jobs.Order(
            operation="invocations",
            model="twin",
            digest=call.digest,
            amount_nano_usd=0,
            id_prefix="scoring_",
            is_job=False,
        )
        fate = (await self.jobs.pay(order)).paid.fate
        await asyncio.sleep(fate.latency_s)
        if fate.is_failed:
            raise calls.Refused(400, EVALUATION, requests.UNFIT)
        return answers.json_answer(200, answer)
