"""boto3 works against SageMaker's twin, signatures included: that is what makes the twin exact."""

import asyncio
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import boto3
import pytest
from botocore import config as botocore_config
from botocore import exceptions

from heddle.twins.kit import faults, ledger, options, server
from heddle.twins.sagemaker import twin
from tests.twins import invented

ONCE = botocore_config.Config(retries={"max_attempts": 0, "mode": "standard"}, s3={"addressing_style": "path"})


@pytest.fixture
async def running(tmp_path: pathlib.Path) -> AsyncIterator[server.Running]:
    async with server.Running(twin.SageMakerTwin(invented.given(tmp_path))) as running:
        yield running


def client(service: str, url: str, *, secret: str = options.DEFAULT_API_KEY) -> Any:
    return boto3.client(
        service,
        region_name="eu-central-1",
        endpoint_url=url,
        aws_access_key_id=twin.ACCESS_KEY,
        aws_secret_access_key=secret,
        config=ONCE,
    )


async def call(method: Any, **given: Any) -> Any:
    """Call boto3 in a thread, since the twin runs in this loop."""
    return await asyncio.to_thread(method, **given)


async def test_invoke_then_the_model_answers_and_names_its_variant(
    running: server.Running, tmp_path: pathlib.Path
) -> None:
    runtime = client("sagemaker-runtime", running.url)

    answer = await call(
        runtime.invoke_endpoint,
        EndpointName="relight",
        Body=b'{"seed": 7}',
        ContentType="application/json",
        InferenceId="att_1",
    )

    body = json.loads(await asyncio.to_thread(answer["Body"].read))
    assert (answer["InvokedProductionVariant"], body["seed"]) == ("AllTraffic", 7)
    assert ledger.summarise(tmp_path / "paid.jsonl").payments == {"att_1": 1}


async def test_invoke_async_then_the_output_appears_where_it_was_asked_for(running: server.Running) -> None:
    runtime, storage = client("sagemaker-runtime", running.url), client("s3", running.url)
    await call(storage.put_object, Bucket="acme-in", Key="in/a b.json", Body=b'{"seed": 9}')

    accepted = await call(
        runtime.invoke_endpoint_async,
        EndpointName="relight",
        InputLocation="s3://acme-in/in/a b.json",
        InferenceId="att_1",
        S3OutputPathExtension="heddle/att_1",
        Filename="output",
        RequestTTLSeconds=60,
        InvocationTimeoutSeconds=60,
    )

    assert accepted["InferenceId"] == "att_1"
    assert accepted["OutputLocation"] == "s3://twin-inference/out/heddle/att_1/output"
    place = {"Bucket": "twin-inference", "Key": "out/heddle/att_1/output"}
    await call(storage.get_waiter("object_exists").wait, **place, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    found = await call(storage.get_object, **place)
    assert json.loads(await asyncio.to_thread(found["Body"].read))["seed"] == 9


async def test_get_when_no_object_is_there_then_no_such_key(running: server.Running) -> None:
    storage = client("s3", running.url)

    with pytest.raises(storage.exceptions.NoSuchKey):
        await call(storage.get_object, Bucket="twin-inference", Key="out/none")


@pytest.mark.parametrize(
    ("rates", "kind", "code"),
    [
        (faults.Rates(throttled=1.0), "ClientError", "ThrottlingException"),
        (faults.Rates(server_error=1.0), "ServiceUnavailable", "ServiceUnavailable"),
        (faults.Rates(failed=1.0), "ModelError", "ModelError"),
    ],
    ids=["throttled", "unavailable", "model error"],
)
async def test_invoke_when_refused_then_boto3_knows_the_error(
    rates: faults.Rates, kind: str, code: str, tmp_path: pathlib.Path
) -> None:
    async with server.Running(twin.SageMakerTwin(invented.given(tmp_path, rates=rates))) as running:
        runtime = client("sagemaker-runtime", running.url)
        with pytest.raises(exceptions.ClientError) as raised:
            await call(runtime.invoke_endpoint, EndpointName="relight", Body=b"{}")

    assert type(raised.value).__name__ == kind
    assert raised.value.response["Error"]["Code"] == code


@pytest.mark.parametrize("service", ["sagemaker-runtime", "s3"])
async def test_signature_when_made_with_another_secret_then_refused(service: str, running: server.Running) -> None:
    made = client(service, running.url, secret="another")
    calls = {
        "sagemaker-runtime": ("invoke_endpoint", {"EndpointName": "relight", "Body": b"{}"}),
        "s3": ("get_object", {"Bucket": "twin-inference", "Key": "out/x"}),
    }
    name, given = calls[service]

    with pytest.raises(exceptions.ClientError) as raised:
        await call(getattr(made, name), **given)

    assert raised.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
