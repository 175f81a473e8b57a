"""Write and read the wire form of MLflow's scoring server.

Pure: JSON values in, JSON values out. A request is an object with exactly one of ``dataframe_split``,
``dataframe_records``, ``instances`` and ``inputs`` beside optional ``params``, or the plain body of a language model,
which the server knows by ``messages``, ``prompt`` or ``input``. Values that do not fit the form are refused. Source:
mlflow/pyfunc/scoring_server/__init__.py, by way of WIRE.md 8.11. Before it: the adapter with an input. After it: the
transport, and on the way back the adapter with an outcome to make.
"""

import enum
from typing import Final, assert_never

from heddle.core import identity

ROWS_MAX: Final = 100_000
_LLM_KEYS: Final = ("messages", "prompt", "input")


class FormRefused(ValueError):
    """Say why a value does not fit the form, or an answer is none of the scoring server's."""


class Form(enum.StrEnum):
    """Name the forms a request may have."""

    DATAFRAME_SPLIT = "dataframe_split"  # {"columns": […], "data": [[…], …]}
    DATAFRAME_RECORDS = "dataframe_records"  # [{"column": value}, …]
    INSTANCES = "instances"  # [instance, …], as TensorFlow Serving has it
    INPUTS = "inputs"  # a tensor or tensors by name
    LLM = "llm"  # the body itself, with messages, prompt or input; answered without `predictions`


def body(*, form: Form, data: identity.JsonValue, params: identity.JsonValue) -> identity.JsonValue:
    """Write a request. Raises FormRefused naming what does not fit."""
    if params is not None and not isinstance(params, dict):
        raise FormRefused("params is no object")
    match form:
        case Form.LLM:
            if not isinstance(data, dict) or not any(key in data for key in _LLM_KEYS):
                raise FormRefused(f"form = {form.value!r} needs an object with one of {', '.join(_LLM_KEYS)}")
            return {**data, **(params or {})}
        case Form.DATAFRAME_SPLIT:
            written = _split(data)
        case Form.DATAFRAME_RECORDS:
            written = _rows(data, form)
        case Form.INSTANCES:
            written = data if isinstance(data, list) else [data]
        case Form.INPUTS:
            written = data
        case _:
            assert_never(form)
    whole: dict[str, identity.JsonValue] = {form.value: written}
    if params is not None:
        whole["params"] = params
    return whole


def predictions(answer: identity.JsonValue, *, form: Form) -> identity.JsonValue:
    """Unwrap an answer. Raises FormRefused when it has no ``predictions`` where the form promises them."""
    if form is Form.LLM:
        return answer
    if not isinstance(answer, dict) or "predictions" not in answer:
        raise FormRefused("has no `predictions`")
    return answer["predictions"]


def _split(data: identity.JsonValue) -> identity.JsonValue:
    if isinstance(data, dict) and {"columns", "data"} <= set(data) <= {"index", "columns", "data"}:
        return data
    rows = _rows(data, Form.DATAFRAME_SPLIT)
    columns = list(rows[0])
    return {"columns": columns, "data": [[row[column] for column in columns] for row in rows]}


def _rows(data: identity.JsonValue, form: Form) -> list[dict[str, identity.JsonValue]]:
    """Give rows that all have the same columns; a single object is one row."""
    rows = data if isinstance(data, list) else [data]
    if not 1 <= len(rows) <= ROWS_MAX:
        raise FormRefused(f"form = {form.value!r} takes 1 to {ROWS_MAX} rows, not {len(rows)}")
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not row:
            raise FormRefused(f"form = {form.value!r} needs an object for each row; row {number} is none")
        if row.keys() != rows[0].keys():
            raise FormRefused(f"row {number} has other columns than the first row")
    return rows
