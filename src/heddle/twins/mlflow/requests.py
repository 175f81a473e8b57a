"""Read a scoring request as MLflow's server does, and score it.

Pure. The model gives each row a number from what is in it, so that equal rows always get equal numbers; a body of a
language model is answered in kind. What is no request is refused in the server's words. Source:
mlflow-skinny 3.17.2, pyfunc/scoring_server (read 2026-11-29). Before it: ``twin``. After it: ``twin``.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence

from heddle.core import identity

FORMS = ("dataframe_records", "dataframe_split", "instances", "inputs")
LLM_KEYS = ("messages", "prompt", "input")
ROWS_MAX = 100_000
UNFIT = (
    "Encountered an unexpected error while evaluating the model. Verify that the serialized input Dataframe is "
    "compatible with the model for inference."
)
_WANTED = f"The input must be a JSON dictionary with exactly one of the input fields {set(FORMS)}"
_SPLIT = "Provided dataframe_split field is not a valid dataframe representation in 'split' format."
_PROTOCOL = "IMPORTANT: The MLflow Model scoring protocol has changed in MLflow version 2.0."


class BadRequest(ValueError):
    """Say why a request is refused before the model sees it."""


class Unfit(ValueError):
    """Say that the model could do nothing with a request."""


def type_trouble(content_type: str, *, known: Sequence[str]) -> str | None:
    """Say why a content type is not taken; None when it is."""
    kind, *pairs = (part.strip() for part in content_type.split(";"))
    parameters = dict(pair.partition("=")[::2] for pair in pairs)
    if parameters.pop("charset", "utf-8").lower() != "utf-8":
        return "The scoring server only supports UTF-8"
    if parameters:
        return f"Unrecognized content type parameters: {', '.join(parameters)}. {_PROTOCOL}"
    if kind not in known:
        types = f"Types: {list(known)}. Got '{content_type}'."
        return f"This predictor only supports the following content types: {types}"
    return None


def scored(body: bytes, *, media_type: str) -> identity.JsonValue:
    """Give the answer to a request. Raises BadRequest and Unfit."""
    if media_type == "text/csv":
        return {"predictions": [score(row) for row in _csv(body)]}
    if media_type != "application/json":
        raise BadRequest("Failed to parse input as a Pandas DataFrame: this twin reads no Parquet.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            f"Invalid input. Ensure that input is a valid JSON formatted string. Error: '{error!r}'"
        ) from None
    if isinstance(value, list):
        raise BadRequest(f"Invalid input. {_WANTED}. Received a list.")
    if not isinstance(value, dict):
        raise BadRequest(f"Invalid input. {_WANTED}. Received unexpected input type '{type(value)}'.")
    if any(key in value for key in LLM_KEYS):
        return _spoken(value)
    given = [form for form in value if form in FORMS]
    if len(given) != 1:
        raise BadRequest(f"{_WANTED}. Received dictionary with input fields: {given}. {_PROTOCOL}")
    return {"predictions": [score(row) for row in _rows(given[0], value[given[0]])]}


def _csv(body: bytes) -> list[identity.JsonValue]:
    try:
        return list(csv.DictReader(io.StringIO(body.decode("utf-8"))))
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"Invalid input. Ensure that input is a valid UTF-8 encoded string. Error: '{error!r}'"
        ) from None
    except csv.Error as error:
        raise BadRequest(f"Failed to parse input as a Pandas DataFrame. Error: '{error}'") from None


def score(row: identity.JsonValue) -> float:
    """Give a row's number, from 0 to 1."""
    digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _rows(form: str, data: identity.JsonValue) -> list[identity.JsonValue]:
    if form == "dataframe_split":
        return _split(data)
    if form == "dataframe_records":
        if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
            raise BadRequest(
                f"Invalid input. Dataframe records format must be a list of records. Got type {type(data)}."
            )
        rows = data
    elif form == "instances":
        if not isinstance(data, list):
            raise Unfit(UNFIT)
        rows = data
    else:
        rows = _columns(data)
    if len(rows) > ROWS_MAX:
        raise BadRequest(f"At most {ROWS_MAX} rows are scored at once.")
    return rows


def _split(data: identity.JsonValue) -> list[identity.JsonValue]:
    columns, rows = (data.get("columns"), data.get("data")) if isinstance(data, dict) else (None, None)
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise BadRequest(f"Invalid input. Dataframe split format must be a dictionary. Got type {type(data)}.")
    if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        raise BadRequest(f"Invalid input. {_SPLIT} Error: '{len(columns)} columns passed, passed data had others'")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _columns(data: identity.JsonValue) -> list[identity.JsonValue]:
    """Take tensors by name row by row; whatever else is given is one row."""
    if isinstance(data, list):
        return data
    lengths = {len(value) for value in data.values() if isinstance(value, list)} if isinstance(data, dict) else set()
    if isinstance(data, dict) and len(lengths) == 1 and all(isinstance(value, list) for value in data.values()):
        return [{name: value[index] for name, value in data.items()} for index in range(lengths.pop())]
    if len(lengths) > 1:
        raise Unfit(UNFIT)
    return [data]


def _spoken(value: Mapping[str, identity.JsonValue]) -> identity.JsonValue:
    """Answer like a model of a language: no ``predictions`` around it."""
    words = json.dumps([value[key] for key in LLM_KEYS if key in value], sort_keys=True)
    usage = {"prompt_tokens": len(words) // 4 + 1, "completion_tokens": 5, "total_tokens": len(words) // 4 + 6}
    message = {"role": "assistant", "content": f"A number for that: {score(words):.4f}."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"object": "chat.completion", "model": "twin", "choices": [choice], "usage": usage}
