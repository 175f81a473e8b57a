"""Hugging Face's own inference client gets from the twin what it gets from an endpoint."""

import pytest

from heddle.twins.huggingface import twin
from heddle.twins.openai import twin as openai_twin
from tests.vendors import rig

pytestmark = pytest.mark.needs("vendors/huggingface")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> rig.Told:
    twins = {
        "twin": rig.twin(twin.HuggingfaceTwin),
        "loading": rig.twin(twin.HuggingfaceTwin, server_error=1.0),
        "overloaded": rig.twin(twin.HuggingfaceTwin, throttled=1.0),
        "failing": rig.twin(twin.HuggingfaceTwin, failed=1.0),
        "lying": rig.twin(twin.HuggingfaceTwin, lie=1.0),
        "openai": rig.twin(openai_twin.OpenaiTwin),
    }
    return rig.run("huggingface", tmp_path_factory.mktemp("huggingface"), twins)


def test_server_when_asked_about_itself_then_healthy_and_named(told: rig.Told) -> None:
    assert told.said["health"] is True
    assert told.said["info"] == twin.MODEL


def test_tasks_when_asked_then_the_package_reads_labels_pictures_and_embeddings(told: rig.Told) -> None:
    labels = [label for label, _ in told.said["classify"]]

    assert sorted(labels) == ["cup", "lamp", "vase"]
    assert told.said["classify_some"] == labels[:2]
    assert told.said["draw"] == {"format": "PNG", "size": [64, 64]}
    assert told.said["embed"] == {"one": [8], "two": [2, 8], "is_same": True}


def test_text_when_generated_then_the_same_whole_in_detail_and_token_by_token(told: rig.Told) -> None:
    text, tokens = told.said["generate"], told.said["stream"]

    assert "".join(tokens) == text
    assert len(tokens) == 4
    assert told.said["generate_plainly"].startswith(text)
    assert told.said["generate_in_detail"] == {"text": text, "reason": "length", "count": 4, "tokens": tokens}
    assert told.said["stream_in_detail"] == {"text": text, "reason": "length", "input": 2, "tokens": tokens}
    assert told.said["stream_later"] == tokens


def test_chat_when_asked_of_the_openai_twin_then_answered_whole_and_in_pieces(told: rig.Told) -> None:
    assert told.said["chat"]["tokens"] == 5
    assert len(told.said["chat"]["text"].split()) == 5
    assert len(told.said["chat_as_stream"].split()) == 5


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        ("wrong_key", "HfHubHTTPError", "401 Unauthorized"),
        ("invalid", "ValidationError", "must be strictly positive"),
        ("loading", "HfHubHTTPError", "503 Service Unavailable"),
        ("overloaded", "OverloadedError", "overloaded"),
        ("failing", "GenerationError", "CUDA error"),
        ("breaking_off", "GenerationError", "CUDA error"),
    ],
)
def test_requests_when_refused_then_the_package_raises_its_own_errors(
    step: str, kind: str, words: str, told: rig.Told
) -> None:
    assert told.said[step]["raised"] == kind
    assert words in told.said[step]["words"]


def test_books_when_all_is_done_then_what_was_refused_is_unpaid(told: rig.Told) -> None:
    paid = {name: books.paid for name, books in told.books.items()}

    assert paid == {"twin": 11, "loading": 0, "overloaded": 0, "failing": 1, "lying": 1, "openai": 2}
