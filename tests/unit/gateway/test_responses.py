"""A request for a response is said to a model that chats, whole or not at all, and its answer comes back as one."""

from typing import Any

import openai.types.responses
import pytest

from heddle.gateway import refusals, responses

CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 7,
    "model": "vendor-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "A cup."}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens": 3,
        "completion_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 8,
    },
}


def made(output: Any, **given: Any) -> openai.types.responses.Response:
    """Read what is answered as the official client does, strictly."""
    body = responses.response(output, run_id="r", model="m", given=given)
    return openai.types.responses.Response.model_validate(body, strict=True)


def test_request_when_it_is_a_text_then_it_is_one_message_after_the_instructions() -> None:
    given = {"model": "m", "input": "A cup?", "instructions": "Be brief.", "max_output_tokens": 9, "temperature": 0.5}

    assert responses.as_chat(given) == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "A cup?"}],
        "max_completion_tokens": 9,
        "temperature": 0.5,
    }


def test_request_when_it_is_a_list_then_messages_keep_their_order_roles_texts_and_pictures() -> None:
    picture = {"type": "input_image", "image_url": "https://example.org/cup.png", "detail": "low"}
    given = {
        "input": [
            {"role": "developer", "content": "Be brief."},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "This?"}, {"type": "input_text", "text": "Or this?"}],
            },
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Which?"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "That."}, picture]},
        ]
    }

    assert responses.as_chat(given)["messages"] == [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "This?\nOr this?"},
        {"role": "assistant", "content": "Which?"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "That."},
                {"type": "image_url", "image_url": {"url": "https://example.org/cup.png", "detail": "low"}},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {}, "strict": True},
                }
            },
        ),
        ({"reasoning": {"effort": "low", "summary": None}}, {"reasoning_effort": "low"}),
        ({"tools": [], "tool_choice": "auto", "truncation": "disabled", "stream": False, "background": False}, {}),
        ({"seed": 7, "user": "u"}, {"seed": 7, "user": "u"}),
    ],
)
def test_request_when_a_chat_has_another_word_for_it_then_it_is_said_with_that(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = responses.as_chat({"input": "x", **given})

    assert found == {"messages": [{"role": "user", "content": "x"}], **expected}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "1"}]}, "input"),
        ({"input": [{"role": "user", "content": 7}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input"),
        ({"input": "x", "instructions": ["y"]}, "instructions"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "tools"),
        ({"input": "x", "tool_choice": "required"}, "tool_choice"),
        ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "x", "truncation": "auto"}, "truncation"),
        ({"input": "x", "reasoning": {"summary": "auto"}}, "reasoning"),
        ({"input": "x", "text": "short"}, "text"),
    ],
)
def test_request_when_a_chat_cannot_be_asked_then_the_field_is_named(given: dict[str, Any], field: str) -> None:
    with pytest.raises(refusals.Refusal) as caught:
        responses.as_chat(given)

    assert (caught.value.status, caught.value.field) == (400, field)


@pytest.mark.parametrize("field", ["stream", "background"])
def test_request_when_it_is_for_a_stream_or_a_job_then_it_is_refused(field: str) -> None:
    with pytest.raises(refusals.Refusal) as caught:
        responses.check({field: True})

    assert caught.value.field == field
    responses.check({field: False})


def test_answer_when_it_is_a_chats_then_the_official_client_reads_it_as_a_response() -> None:
    found = made(CHAT, instructions="Be brief.")

    assert (found.output_text, found.status, found.model, found.instructions) == (
        "A cup.",
        "completed",
        "vendor-1",
        "Be brief.",
    )
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.total_tokens) == (5, 3, 8)
    assert found.usage.input_tokens_details.cached_tokens == 2
    assert found.usage.output_tokens_details.reasoning_tokens == 1


def test_answer_when_it_is_a_text_then_it_is_a_response() -> None:
    found = made(["A ", "cup."])

    assert (found.output_text, found.model, found.usage) == ("A cup.", "m", None)


def test_answer_when_it_was_cut_off_or_refused_then_the_response_says_so() -> None:
    choice = CHAT["choices"][0]
    cut = made({**CHAT, "choices": [{**choice, "finish_reason": "length"}]})
    refused: Any = made({**CHAT, "choices": [{**choice, "message": {"content": None, "refusal": "No."}}]})

    assert (cut.status, cut.incomplete_details and cut.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )
    assert refused.output[0].content[0].refusal == "No."


def test_answer_when_it_is_a_response_then_it_is_passed_on() -> None:
    whole = {"object": "response", "output": [], "id": "resp_1"}

    assert responses.response(whole, run_id="r", model="m", given={}) == whole


def test_answer_when_it_has_no_text_then_it_is_refused() -> None:
    with pytest.raises(refusals.Refusal, match="no text"):
        responses.response({"score": 1}, run_id="r", model="m", given={})
