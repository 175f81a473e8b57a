"""Whatever JSON a server answers, the readers of the wire refuse it by name and never break."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from heddle.providers.comfyui import graph
from heddle.providers.comfyui import wire as comfyui
from heddle.providers.huggingface import wire as huggingface
from heddle.providers.kserve import generation, terms
from heddle.providers.kserve import wire as kserve
from heddle.providers.mlflow import wire as mlflow

# The names that the readers look for, so that the search gets past the first look.
WORDS = """
    prompt_id node_errors errors class_type message details error type queue_running queue_pending outputs status
    status_str messages execution_error execution_interrupted exception_type node_id images filename subfolder name
    jobs create_time x heddle_request error_type estimated_time token text special generated_text input_length
    generated_tokens id text_output shape datatype data parameters binary_data_size predictions columns messages
"""
NAMES = WORDS.split()
leaves = strategies.one_of(
    strategies.none(),
    strategies.booleans(),
    strategies.integers(-2, 2**65),
    strategies.just(10**400),
    strategies.floats(),
    strategies.sampled_from([*NAMES, "", "success", "INT32", "BYTES", "FP32"]),
)
values = strategies.recursive(
    leaves,
    lambda inner: strategies.one_of(
        strategies.lists(inner, max_size=5), strategies.dictionaries(strategies.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=25,
)
SELECTORS = (
    graph.Selector(name="a", node="x", is_list=False, key=None),
    graph.Selector(name="b", node="x", is_list=True, key=None),
    graph.Selector(name="c", node="x", is_list=True, key="images"),
)


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def parts(value: Any) -> object:
    if isinstance(value, dict):
        return [comfyui.parts(value, ()), *(comfyui.parts(value, (each,)) for each in SELECTORS)]
    return None


def gathered(value: Any) -> object:
    piece = generation.read(body(value), request_id="id")
    gathering = generation.Gathering(text=terms.StreamText.PIECE)
    if isinstance(piece, dict):
        gathering.take(piece)
        gathering.take(piece)
    return generation.chosen(gathering.whole(), {"text_output": "text"})


READERS: dict[str, tuple[Callable[[Any], object], type[Exception]]] = {
    "comfyui submitted": (lambda value: comfyui.read_submitted(body(value)), comfyui.AnswerRefused),
    "comfyui refusal": (lambda value: comfyui.read_refusal(body(value)), comfyui.AnswerRefused),
    "comfyui queue": (lambda value: comfyui.read_queued(body(value), wanted="x"), comfyui.AnswerRefused),
    "comfyui queue of jobs": (
        lambda value: comfyui.read_queued(
            body({"queue_running": [value, [1, value, 2, value]], "queue_pending": [[value, "x", 2, value], value]}),
            wanted="x",
        ),
        comfyui.AnswerRefused,
    ),
    "comfyui history": (lambda value: comfyui.read_ended(body({"x": value}), wanted="x"), comfyui.AnswerRefused),
    "comfyui status": (
        lambda value: comfyui.read_ended(body({"x": {"outputs": {}, "status": value}}), wanted="x"),
        comfyui.AnswerRefused,
    ),
    "comfyui messages": (
        lambda value: comfyui.read_ended(
            body({"x": {"outputs": {}, "status": {"messages": [value, ["execution_error", value], [value, value]]}}}),
            wanted="x",
        ),
        comfyui.AnswerRefused,
    ),
    "comfyui outputs": (lambda value: parts({"x": value}), comfyui.AnswerRefused),
    "comfyui files": (lambda value: parts({"x": {"images": [value]}}), comfyui.AnswerRefused),
    "comfyui oldest": (lambda value: comfyui.read_oldest_ms(body({"jobs": value})), comfyui.AnswerRefused),
    "comfyui upload": (lambda value: comfyui.read_uploaded(body(value)), comfyui.AnswerRefused),
    "huggingface event": (lambda value: huggingface.token(json.dumps(value)), huggingface.AnswerRefused),
    "huggingface token": (
        lambda value: huggingface.token(json.dumps({"token": value, "generated_text": value})),
        huggingface.AnswerRefused,
    ),
    "huggingface failure": (huggingface.failure, huggingface.AnswerRefused),
    "huggingface text": (huggingface.generated, huggingface.AnswerRefused),
    "huggingface tokens": (lambda value: huggingface.tokens_of({}, value), huggingface.AnswerRefused),
    "kserve text": (gathered, generation.AnswerRefused),
    "kserve tensors": (lambda value: kserve.read(headers={}, body=body(value)), kserve.AnswerRefused),
    "kserve outputs": (
        lambda value: kserve.read(headers={}, body=body({"outputs": [value, {"name": "x", "datatype": value}]})),
        kserve.AnswerRefused,
    ),
    "mlflow predictions": (
        lambda value: mlflow.predictions(value, form=mlflow.Form.INSTANCES),
        mlflow.FormRefused,
    ),
    "mlflow form": (
        lambda value: [
            mlflow.body(form=form, data=value, params=None)
            for form in (mlflow.Form.DATAFRAME_SPLIT, mlflow.Form.INPUTS)
        ],
        mlflow.FormRefused,
    ),
}


@pytest.mark.parametrize("name", READERS)
@hypothesis.given(value=values)
@hypothesis.settings(max_examples=50, deadline=None)
def test_answer_when_of_any_form_then_read_or_refused_by_name(name: str, value: Any) -> None:
    read, refusal = READERS[name]

    with contextlib.suppress(refusal):
        read(value)
