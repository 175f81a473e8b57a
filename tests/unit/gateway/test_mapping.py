"""Bodies are passed on or mapped by a small table, answers are found where models usually put them."""

from typing import Any

import pytest

from heddle.gateway import asking, mapping, refusals

SAID: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {}}]},
]


def test_chat_when_the_model_speaks_the_shape_then_the_body_is_passed_on_without_what_is_ours() -> None:
    given = {"model": "m", "stream": True, "stream_options": {}, "messages": SAID, "top_p": 1, "service_tier": "flex"}

    assert mapping.chat_input(given, is_vendor_shaped=True) == {"messages": SAID, "top_p": 1, "service_tier": "flex"}


def test_chat_when_it_does_not_then_messages_become_a_prompt_and_other_names_stay() -> None:
    given = {"model": "m", "messages": SAID, "max_completion_tokens": 5, "top_p": 1, "user": "u"}

    found = mapping.chat_input(given, is_vendor_shaped=False)

    assert found == {"prompt": "What is this?", "system_prompt": "Be brief.", "max_tokens": 5, "top_p": 1}


def test_chat_when_several_have_spoken_then_the_prompt_says_who() -> None:
    said = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes?"}]

    assert mapping.chat_input({"messages": said}, is_vendor_shaped=False) == {
        "prompt": "user: Hello\n\nassistant: Yes?"
    }


def test_chat_when_messages_are_none_then_it_is_refused_with_the_field() -> None:
    with pytest.raises(refusals.Refusal) as caught:
        mapping.chat_input({"messages": "hello"}, is_vendor_shaped=False)

    assert (caught.value.status, caught.value.field) == (400, "messages")


def test_images_when_the_model_does_not_speak_the_shape_then_size_becomes_two_numbers() -> None:
    given = {"model": "m", "prompt": "a", "size": "1024x512", "n": 2, "response_format": "url"}

    found = mapping.images_input(given, is_vendor_shaped=False)

    assert found == {"prompt": "a", "width": 1024, "height": 512, "num_outputs": 2}


@pytest.mark.parametrize(
    ("is_vendor_shaped", "expected"),
    [
        (True, {"prompt": "a", "size": "1024x512", "n": 2, "image": ["A", "B"], "mask": "M", "user": "u"}),
        (False, {"prompt": "a", "width": 1024, "height": 512, "num_outputs": 2, "image": ["A", "B"], "mask": "M"}),
    ],
)
def test_edits_when_mapped_or_not_then_pictures_keep_their_names_and_the_form_of_the_answer_is_ours(
    is_vendor_shaped: bool, expected: dict[str, Any]
) -> None:
    given = {"model": "m", "prompt": "a", "size": "1024x512", "n": 2, "image": ["A", "B"], "mask": "M", "user": "u"}

    found = mapping.edits_input({**given, "response_format": "url", "stream": False}, is_vendor_shaped=is_vendor_shaped)

    assert found == expected


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("a", "a"),
        (["a", "b"], "ab"),
        ({"output": ["a", "b"]}, "ab"),
        ({"generated_text": "a"}, "a"),
        ({"score": 1}, None),
        (7, None),
    ],
)
def test_text_when_it_is_in_a_usual_place_then_it_is_found(output: object, text: str | None) -> None:
    assert mapping.text_of(output) == text


@pytest.mark.parametrize(
    ("output", "vectors"),
    [([1, 2], [[1.0, 2.0]]), ({"embeddings": [[1], [2]]}, [[1.0], [2.0]]), ([], None), ({"a": [1]}, None)],
)
def test_vectors_when_they_are_in_a_usual_place_then_they_are_found(output: object, vectors: Any) -> None:
    assert mapping.vectors_of(output) == vectors


@pytest.mark.parametrize(("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("5m", 300.0), ("1h30m", 5_400.0)])
def test_span_when_it_is_one_then_it_is_seconds(text: str, seconds: float) -> None:
    assert asking.span_s(text, field="Cancel-After") == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "1d"])
def test_span_when_it_is_none_then_it_is_refused(text: str) -> None:
    with pytest.raises(refusals.Refusal, match="Cancel-After"):
        asking.span_s(text, field="Cancel-After")
