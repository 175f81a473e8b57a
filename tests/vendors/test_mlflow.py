"""MLflow's own client reads the twin as it reads MLflow's server; the twin and our adapter agree with that server."""

import asyncio
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from heddle.config import deployment
from heddle.core import faults, settle
from heddle.ports import provider
from heddle.providers import registry
from heddle.store import blobs
from heddle.twins.kit import server
from heddle.twins.mlflow import twin
from tests.contract import provider_suite, tenant_artifacts
from tests.twins import invented
from tests.vendors import rig

pytestmark = pytest.mark.needs("vendors/mlflow")

JSON = "application/json"
QUESTIONS: list[tuple[str, str, bytes]] = [
    (JSON, "/invocations", b'{"inputs": [1, 2]}'),
    (JSON, "/invocations", b'{"inputs": {"a": [1, 2], "b": [3, 4]}}'),
    (JSON, "/invocations", b'{"inputs": {"a": [1, 2], "b": [3]}}'),
    (JSON, "/invocations", b'{"instances": [[1, 2], [3, 4]]}'),
    (JSON, "/invocations", b'{"instances": 5}'),
    (JSON, "/invocations", b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}'),
    (JSON, "/invocations", b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}'),
    (JSON, "/invocations", b'{"dataframe_split": 5}'),
    (JSON, "/invocations", b'{"dataframe_records": [{"a": 1}, {"a": 2}]}'),
    (JSON, "/invocations", b'{"dataframe_records": 5}'),
    (JSON, "/invocations", b'{"inputs": [1], "params": {"top": 1}}'),
    (JSON, "/invocations", b'{"inputs": [1], "instances": [2]}'),
    (JSON, "/invocations", b'{"x": 1}'),
    (JSON, "/invocations", b"[1]"),
    (JSON, "/invocations", b'"x"'),
    (JSON, "/invocations", b"no json"),
    (JSON, "/invocations", b"\xff"),
    (JSON, "/nothing", b"{}"),
    (JSON, "/ping", b"{}"),
    (f"{JSON}; charset=utf-8", "/invocations", b'{"inputs": [1]}'),
    (f"{JSON}; charset=latin-1", "/invocations", b'{"inputs": [1]}'),
    (f"{JSON}; version=1", "/invocations", b'{"inputs": [1]}'),
    ("text/csv", "/invocations", b"a,b\n1,2\n3,4\n"),
    ("text/csv", "/invocations", b"\xff"),
    ("application/xml", "/invocations", b"<a/>"),
]


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rig.serving("mlflow", tmp_path_factory.mktemp("mlflow-server")) as url:
        yield url


@pytest.fixture(scope="module")
def told(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> rig.Told:
    twins = {"twin": rig.twin(twin.MlflowTwin)}
    return rig.run("mlflow", tmp_path_factory.mktemp("mlflow"), twins, beside={"server": server_url})


async def asked(url: str, media_type: str, path: str, body: bytes) -> dict[str, Any]:
    """Give what a client can tell an answer by: no number that the model gave, no words but the first."""
    async with (
        aiohttp.ClientSession(url) as client,
        client.post(path, data=body, headers={"Content-Type": media_type}) as answer,
    ):
        text = await answer.text()
        shown: dict[str, Any] = {"status": answer.status, "type": answer.headers["Content-Type"]}
    if answer.content_type != JSON:
        return {**shown, "words": " ".join(text.split()[:6])}
    value = json.loads(text)
    code, words = value.get("error_code"), value.get("message", "").split()
    return {**shown, "keys": sorted(value), "code": code, "words": words[:6], "rows": len(value.get("predictions", []))}


@pytest.mark.parametrize(("media_type", "path", "body"), QUESTIONS, ids=range(len(QUESTIONS)))
def test_twin_when_asked_as_the_server_is_then_answers_alike(
    media_type: str, path: str, body: bytes, server_url: str, tmp_path: pathlib.Path
) -> None:
    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        async with server.Running(twin.MlflowTwin(invented.given(tmp_path))) as there:
            return await asked(there.url, media_type, path, body), await asked(server_url, media_type, path, body)

    ours, theirs = asyncio.run(both())

    assert ours == theirs


def test_client_when_it_asks_either_then_it_reads_the_same(told: rig.Told) -> None:
    apart = {step: said for step, said in told.said.items() if said["twin"] != said["server"]}

    assert apart == {}
    assert told.said["version"]["twin"] == twin.VERSION
    assert told.said["frame"]["twin"] == [2, 1]
    assert told.said["array"]["twin"] == [3]
    assert told.said["rows"]["twin"] == [2, 1]
    assert told.said["written"]["twin"] == ["predictions"]
    assert told.said["refused"]["twin"] == "Invocation failed (error code 400, response: "


def test_books_when_the_client_is_done_then_each_scoring_is_there_once(told: rig.Told) -> None:
    assert (told.books["twin"].paid, told.books["twin"].paid_nano_usd) == (4, 0)


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "instances", "inputs"])
async def test_adapter_when_it_asks_the_server_in_any_form_then_a_number(
    form: str, server_url: str, tmp_path: pathlib.Path
) -> None:
    adapter = registry.build(endpoint(server_url, form=form, output="/0"), {})

    outcome = await adapter.send(request(tmp_path, {"width": 640, "height": 320}))
    trouble = await adapter.check()
    await adapter.close()

    assert isinstance(outcome, settle.Completed), outcome
    assert outcome.output in (1.0, 2.0)
    assert trouble is None


async def test_adapter_when_the_server_has_no_number_then_refused_for_good(
    server_url: str, tmp_path: pathlib.Path
) -> None:
    adapter = registry.build(endpoint(server_url, form="dataframe_records"), {})

    outcome = await adapter.send(request(tmp_path, {"fail": 1}))
    await adapter.close()

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT


def endpoint(url: str, **given: object) -> deployment.Endpoint:
    return deployment.Endpoint(name="there", adapter="mlflow", url=url, scopes=("there",), options=given)


def request(folder: pathlib.Path, given: dict[str, Any]) -> provider.ProviderRequest:
    store = blobs.FilesystemBlobs(directory=folder / "artifacts", bytes_max=1_000_000, pixels_max=1_000_000)
    return provider.ProviderRequest(
        attempt_id="att_1",
        idempotency_key="key_1",
        model="quality",
        input=given,
        timeout_s=20.0,
        artifacts=tenant_artifacts.TenantArtifacts(store),
    )
