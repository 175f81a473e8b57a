"""OpenAI's own client talks to the gateway: answers, streams, errors, repeats, and what the run says afterwards."""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from heddle import wiring
from heddle.core import faults, settle
from heddle.core.run import RunState
from tests import pg
from tests.integration import gateway_site, working
from tests.races import invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
ASK: list[Any] = [{"role": "user", "content": "Say hello."}]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(database: pg.Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[gateway_site.Site]:
    folder = tmp_path_factory.mktemp("gateway")
    async with gateway_site.open_site(database, folder, gateway_prefixes="openai") as made:
        yield made
    with database.connect() as connection:
        assert not invariants.broken(connection)


@pytest_asyncio.fixture(loop_scope="module")
async def client(site: gateway_site.Site) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as made:
        yield made


def refused(fault: faults.Fault) -> settle.Faulted:
    return settle.Faulted(fault=faults.StepFault(fault=fault, message="the vendor said no"))


async def test_chat_when_the_model_answers_then_the_client_has_it_and_the_run_is_durable_and_booked(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    site.talker.will(gateway_site.done(gateway_site.completion("Hello!")))

    raw = await client.chat.completions.with_raw_response.create(model="openai/chat", messages=ASK, temperature=0.5)
    answer = raw.parse()

    assert (answer.choices[0].message.content, answer.usage and answer.usage.total_tokens) == ("Hello!", 5)
    assert site.talker.asked[0].input == {"messages": ASK, "temperature": 0.5}
    assert site.talker.asked[0].on_delta is None
    run = await gateway_site.run_of(raw.headers["x-request-id"])
    assert (run.state, run.workflow, run.cost_nano_usd) == (
        RunState.SUCCEEDED,
        "model:chat",
        gateway_site.PRICE_NANO_USD,
    )
    assert run.output["choices"][0]["message"]["content"] == "Hello!"


async def test_chat_when_it_is_streamed_then_pieces_come_before_the_answer_stands(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    site.talker.after_pieces.clear()
    site.talker.will((("Hel", "lo", "!"), gateway_site.done(gateway_site.completion("Hello! And more."))))

    stream = await client.chat.completions.create(
        model="chat", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    texts: list[str] = []
    usage = None
    async for chunk in stream:
        texts += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        usage = chunk.usage or usage
        if "".join(texts) == "Hello!":
            site.talker.after_pieces.set()

    assert "".join(texts) == "Hello! And more."
    assert usage is not None
    assert usage.total_tokens == 5


async def test_chat_when_the_vendors_own_chunks_come_then_they_are_passed_on_once(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    head = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 9, "model": "vendor-1"}
    pieces = tuple(
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in [({"role": "assistant", "content": "A"}, None), ({"content": "B"}, None), ({}, "stop")]
    )
    site.talker.will((pieces, gateway_site.done(gateway_site.completion("AB"))))

    chunks = [chunk async for chunk in await client.chat.completions.create(model="chat", messages=ASK, stream=True)]

    assert [chunk.choices[0].delta.content for chunk in chunks] == ["A", "B", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, "stop"]
    assert {chunk.id for chunk in chunks} == {"chatcmpl-9"}


async def test_chat_when_an_attempt_is_cut_off_and_the_next_says_otherwise_then_the_stream_says_so(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    site.talker.will(
        (("Once ",), refused(faults.Fault.REJECTED_TRANSIENT)),
        (("Twice",), gateway_site.done(gateway_site.completion("Twice upon a time"))),
    )

    with pytest.raises(openai.APIError, match="cut off"):
        async for _ in await client.chat.completions.create(model="chat", messages=ASK, stream=True):
            pass

    assert len(site.talker.asked) == 2


async def test_chat_when_the_model_takes_no_messages_then_they_are_mapped_and_its_text_is_the_answer(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    site.talker.will(gateway_site.done({"text": "Good day."}))

    answer = await client.chat.completions.create(
        model="mapped", messages=[{"role": "system", "content": "Be polite."}, *ASK], max_completion_tokens=9
    )

    assert answer.choices[0].message.content == "Good day."
    assert site.talker.asked[0].input == {"prompt": "Say hello.", "system_prompt": "Be polite.", "max_tokens": 9}


async def test_chat_when_a_schema_has_keys_with_a_dollar_then_the_vendor_gets_them_as_they_were_written(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    schema = {"type": "object", "$defs": {"a": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a"}}}
    site.talker.will(gateway_site.done(gateway_site.completion("{}")))

    await client.chat.completions.create(
        model="chat",
        messages=ASK,
        response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
    )

    assert site.talker.asked[0].input["response_format"]["json_schema"]["schema"] == schema  # type: ignore[index, call-overload]


@pytest.mark.parametrize(
    ("fault", "kind", "code", "may_repeat"),
    [
        (faults.Fault.REJECTED_PERMANENT, openai.BadRequestError, "rejected_permanent", "false"),
        (faults.Fault.BUDGET, openai.RateLimitError, "insufficient_quota", "false"),
        (faults.Fault.UNCLASSIFIED, openai.InternalServerError, "unclassified", "false"),
    ],
)
async def test_chat_when_the_call_fails_for_good_then_the_clients_own_error_says_how(
    site: gateway_site.Site,
    client: openai.AsyncOpenAI,
    fault: faults.Fault,
    kind: type[openai.APIStatusError],
    code: str,
    may_repeat: str,
) -> None:
    site.talker.will(refused(fault))

    with pytest.raises(kind) as caught:
        await client.chat.completions.create(model="chat", messages=ASK)

    assert caught.value.code == code
    assert caught.value.response.headers["x-should-retry"] == may_repeat
    run = await gateway_site.run_of(caught.value.response.headers["x-request-id"])
    assert (run.state, run.error["fault"]) == (RunState.FAILED, fault.value)


async def test_chat_when_the_outcome_is_not_known_then_the_client_is_told_not_to_repeat(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    site.talker.will(settle.Unknown(message="the line was cut"))

    patient = client.with_options(max_retries=2)
    with pytest.raises(openai.APIStatusError) as caught:
        await patient.chat.completions.create(model="chat", messages=ASK)

    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.code in ("outcome_unknown", "sent_unknown")
    assert len(site.talker.asked) == 1


async def test_chat_when_a_key_comes_again_then_it_is_the_one_answer_paid_once(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    site.talker.will(gateway_site.done(gateway_site.completion("Once.")))
    named = {"Idempotency-Key": uuid.uuid4().hex}

    async def ask() -> Any:
        return await client.chat.completions.with_raw_response.create(model="chat", messages=ASK, extra_headers=named)

    found = await asyncio.gather(*(ask() for _ in range(5)))
    again = await ask()

    assert len({raw.headers["x-request-id"] for raw in [*found, again]}) == 1
    assert {raw.parse().choices[0].message.content for raw in [*found, again]} == {"Once."}
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(site.talker.asked) == 1
    with pytest.raises(openai.BadRequestError, match="another request"):
        await client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "Other."}], extra_headers=named
        )


async def test_chat_when_the_model_reuses_results_then_an_equal_call_is_answered_without_another_payment(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    site.talker.will(gateway_site.done(gateway_site.completion("Always the same.")))

    first, second = [
        await client.chat.completions.create(model=gateway_site.REUSED.name, messages=ASK) for _ in range(2)
    ]

    assert first.choices[0].message.content == second.choices[0].message.content == "Always the same."
    assert len(site.talker.asked) == 1


async def test_chat_when_the_tenant_has_used_up_its_minute_then_it_is_told_when_to_come_back(
    site: gateway_site.Site,
) -> None:
    site.talker.will(gateway_site.done(gateway_site.completion("Hello!")))
    key = await gateway_site.key_of("bounded")
    async with openai.AsyncOpenAI(base_url=site.url, api_key=key, max_retries=0) as bounded:
        raw = await bounded.chat.completions.with_raw_response.create(model="chat", messages=ASK)
        await bounded.chat.completions.create(model="chat", messages=ASK)

        with pytest.raises(openai.RateLimitError) as caught:
            await bounded.chat.completions.create(model="chat", messages=ASK)

    assert raw.headers["x-ratelimit-limit-requests"] == "2"
    assert int(caught.value.response.headers["Retry-After"]) > 0
    assert len(site.talker.asked) == 2


async def test_chat_when_the_caller_goes_away_then_the_run_goes_on_and_its_result_is_kept(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    site.talker.gate.clear()
    site.talker.will(gateway_site.done(gateway_site.completion("Still here.")))
    named = uuid.uuid4().hex

    asking = asyncio.create_task(
        client.chat.completions.create(model="chat", messages=ASK, extra_headers={"Idempotency-Key": named})
    )
    await working.until(lambda: bool(site.talker.asked))
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await working.until(lambda: not len(site.parts.listening))  # type: ignore[arg-type]
    site.talker.gate.set()
    answer = await client.chat.completions.create(model="chat", messages=ASK, extra_headers={"Idempotency-Key": named})

    assert answer.choices[0].message.content == "Still here."
    assert len(site.talker.asked) == 1


async def test_response_when_the_model_takes_no_messages_then_they_are_mapped_and_its_text_is_the_answer(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    site.talker.will(gateway_site.done({"text": "Good day."}))

    answer = await client.responses.create(
        model="mapped", input="Say hello.", instructions="Be polite.", max_output_tokens=9
    )

    assert (answer.output_text, answer.model) == ("Good day.", "mapped")
    assert site.talker.asked[0].input == {"prompt": "Say hello.", "system_prompt": "Be polite.", "max_tokens": 9}


async def test_response_when_a_tool_made_a_picture_then_it_comes_in_base64(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    picture = base64.b64decode(PIXEL)
    reference = await scene.in_thread(lambda: wiring.client().upload(picture))
    made = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": reference.as_json()}
    site.talker.will(gateway_site.done({"object": "response", "id": "resp_1", "output": [made]}))

    answer: Any = await client.responses.create(model="chat", input="A dot.")

    assert base64.b64decode(answer.output[0].result) == picture


async def test_embeddings_when_the_client_asks_then_it_has_the_vectors(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}]
    site.talker.will(
        gateway_site.done(
            {"object": "list", "data": data, "model": "v", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        )
    )

    answer = await client.embeddings.create(model="vectors", input="hello")
    site.talker.will(gateway_site.done({"embedding": [0.25, 2.0]}))
    mapped = await client.embeddings.create(model="mapped", input="hello")

    assert answer.data[0].embedding == [0.5, -1.0]
    assert mapped.data[0].embedding == [0.25, 2.0]
    assert site.talker.asked[0].input == {"texts": ["hello"]}


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
async def test_images_when_the_answer_is_a_file_then_it_comes_as_asked(
    site: gateway_site.Site, client: openai.AsyncOpenAI, response_format: Any
) -> None:
    picture = base64.b64decode(PIXEL)
    reference = await scene.in_thread(lambda: wiring.client().upload(picture, media_type="image/png"))
    site.talker.will(gateway_site.done({"data": [{"b64_json": reference.as_json()}]}))

    answer = await client.images.generate(model="paint", prompt="a dot", response_format=response_format)

    assert answer.data is not None
    if response_format == "b64_json":
        assert base64.b64decode(answer.data[0].b64_json or "") == picture
    else:
        found = await client._client.get(answer.data[0].url or "")
        assert (found.content, found.headers["content-type"]) == (picture, "image/png")


async def test_models_when_some_are_paused_or_in_other_regions_then_they_are_not_there(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    european = openai.AsyncOpenAI(base_url=site.url, api_key=await gateway_site.key_of("european"), max_retries=0)
    await scene.in_thread(lambda: wiring.operating().pause("model", "paint", actor="test"))
    try:
        listed = [model.id async for model in client.models.list()]
        allowed = [model.id async for model in european.models.list()]
        with pytest.raises(openai.NotFoundError):
            await european.models.retrieve("mapped")
    finally:
        await scene.in_thread(lambda: wiring.operating().resume("model", "paint", actor="test"))

    assert listed == sorted(set(gateway_site.MODELS) - {"paint"})
    assert allowed == sorted([gateway_site.REUSED.name, "writer", "chat", "vectors"])


async def test_models_when_listed_then_each_that_has_an_endpoint_is_there(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    assert [model.id async for model in client.models.list()] == sorted(gateway_site.MODELS)
    assert (await client.models.retrieve("chat")).id == "chat"
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="nobody", messages=ASK)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/chat/completions", b"not json", 400, "malformed_json"),
        ("/chat/completions", b"[]", 400, "malformed_json"),
        ("/chat/completions", b'{"model": 7}', 400, "invalid_request"),
        (
            "/chat/completions",
            b'{"model": "chat", "messages": ' + b"[" * 400 + b"]" * 400 + b"}",
            400,
            "invalid_request",
        ),
        ("/chat/completions", b'{"model": "chat", "messages": ' + b"[" * 99_999, 400, "malformed_json"),
        ("/nowhere", b"{}", 404, "not_found"),
    ],
)
async def test_gateway_when_the_request_cannot_be_read_then_it_says_so_in_openais_form(
    site: gateway_site.Site, client: openai.AsyncOpenAI, path: str, body: bytes, status: int, code: str
) -> None:
    found = await client._client.post(
        f"{site.url}{path}", content=body, headers={"Authorization": f"Bearer {site.key}"}
    )

    assert (found.status_code, json.loads(found.content)["error"]["code"]) == (status, code)


async def test_gateway_when_the_key_is_not_valid_then_the_clients_own_error_comes(site: gateway_site.Site) -> None:
    async with openai.AsyncOpenAI(base_url=site.url, api_key="sk-wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
