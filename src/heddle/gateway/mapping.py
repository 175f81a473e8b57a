"""Map a body between the vendor's shape and what another adapter's model takes: a small table, and nothing clever.

An adapter that speaks a shape itself is given the body as it came. Any other model takes a prompt and a few named
numbers; its answer may be a text, a list of texts, or an object with one under a usual name. What the table does not
name is passed on under its own name, so that a model with more to it can be asked for more.
"""

import re
from collections.abc import Mapping
from typing import Any

from heddle.core import artifact
from heddle.gateway import refusals

OPENAI = "openai"
VENDOR_ADAPTERS = frozenset({OPENAI, "http"})
"""Adapters whose models take OpenAI's bodies: our adapter for it, and an address that was configured by hand."""
TEXT_NAMES = ("text", "output", "content", "completion", "generated_text", "response")
VECTOR_NAMES = ("embedding", "embeddings", "vectors", "output")
_OURS = frozenset({"model", "stream", "stream_options"})
FORM = "response_format"
"""Of pictures: as links or in base64."""
_RENAMED_CHAT = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}
_RENAMED_IMAGES = {"n": "num_outputs"}
_SIZE = re.compile(r"([0-9]{1,9})x([0-9]{1,9})\Z")
_OF_THE_SHAPE = frozenset({"messages", "service_tier", "user", "store", "metadata", FORM})

Given = Mapping[str, Any]


def is_vendor(adapters: frozenset[str]) -> bool:
    """Tell whether a model behind these adapters takes OpenAI's bodies."""
    return bool(adapters & VENDOR_ADAPTERS)


def chat_input(given: Given, *, is_vendor_shaped: bool) -> dict[str, Any]:
    """Give the input of a chat call: which model, whether and how it is streamed is ours, the rest is the model's."""
    rest = {name: value for name, value in given.items() if name not in _OURS}
    if is_vendor_shaped:
        return rest
    messages = given.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise refusals.invalid("messages must be a list of objects", field="messages")
    system = "\n\n".join(_text(each) for each in messages if each.get("role") in ("system", "developer"))
    said = [each for each in messages if each.get("role") not in ("system", "developer")]
    prompt = _text(said[0]) if len(said) == 1 else "\n\n".join(f"{each.get('role')}: {_text(each)}" for each in said)
    mapped = _renamed(rest, _RENAMED_CHAT)
    return {**mapped, "prompt": prompt, **({"system_prompt": system} if system else {})}


def embeddings_input(given: Given, *, is_vendor_shaped: bool) -> dict[str, Any]:
    """Give the input of an embedding call."""
    rest = {name: value for name, value in given.items() if name != "model"}
    if is_vendor_shaped:
        return rest
    found = rest.pop("input", None)
    rest.pop("encoding_format", None)
    return {**_renamed(rest, {}), "texts": [found] if isinstance(found, str) else found}


def images_input(given: Given, *, is_vendor_shaped: bool) -> dict[str, Any]:
    """Give the input of an image call; ``size`` becomes width and height where the vendor's shape is not spoken."""
    rest = {name: value for name, value in given.items() if name != "model"}
    if is_vendor_shaped:
        return rest
    size = rest.pop("size", None)
    mapped = _renamed(rest, _RENAMED_IMAGES)
    found = _SIZE.match(str(size or ""))
    return {**mapped, **({} if found is None else {"width": int(found[1]), "height": int(found[2])})}


def edits_input(given: Given, *, is_vendor_shaped: bool) -> dict[str, Any]:
    """Give the input of an edit: pictures as they came, one or a list, and the rest as for an image call."""
    rest = {name: value for name, value in without_form(given).items() if name not in _OURS}
    return images_input(rest, is_vendor_shaped=is_vendor_shaped)


def without_form(given: Given) -> dict[str, Any]:
    """Leave out in which form the answer's pictures are told, where every form is kept as files and told by us.

    OpenAI's models of today refuse to be asked (openai 3.57.0, ``types/image_generate_params.py``).
    """
    return {name: value for name, value in given.items() if name != FORM}


def _renamed(given: Given, names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in given.items() if name not in _OF_THE_SHAPE}


def _text(message: Given) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(
        str(part.get("text", "")) for part in parts if isinstance(part, dict) and part.get("type") == "text"
    )


# Answers


def text_of(output: Any) -> str | None:
    """Find the text of an answer that is not in the vendor's shape; None when there is none."""
    if isinstance(output, str):
        return output
    if isinstance(output, list) and all(isinstance(item, str) for item in output):
        return "".join(output)
    if isinstance(output, dict):
        return next((found for name in TEXT_NAMES if (found := text_of(output.get(name))) is not None), None)
    return None


def vectors_of(output: Any) -> list[list[float]] | None:
    """Find the vectors of an answer that is not in the vendor's shape; None when there are none."""
    if isinstance(output, dict):
        return next((found for name in VECTOR_NAMES if (found := vectors_of(output.get(name))) is not None), None)
    if not isinstance(output, list) or not output:
        return None
    if all(isinstance(item, int | float) for item in output):
        return [[float(item) for item in output]]
    if all(isinstance(item, list) and all(isinstance(number, int | float) for number in item) for item in output):
        return [[float(number) for number in item] for item in output]
    return None


def artifacts_of(output: Any) -> list[artifact.Artifact]:
    """List the files anywhere inside an answer, in order."""
    if isinstance(output, dict):
        if artifact.is_artifact(output):
            return [artifact.Artifact.from_json(output)]
        return [found for item in output.values() for found in artifacts_of(item)]
    if isinstance(output, list):
        return [found for item in output for found in artifacts_of(item)]
    return []
