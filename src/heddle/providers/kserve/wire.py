"""Write and read the wire form of the Open Inference Protocol V2, JSON and binary tensors both ways.

Pure: bytes and records in, bytes and records out. What does not add up is refused; nothing is coerced. Source:
open-inference-protocol inference_rest.md and Triton's extension_binary_data.md, by way of WIRE.md 8.6 and 8.7.
Before it: the adapter with tensors. After it: the transport, and on the way back the adapter with an outcome to make.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from heddle.core import identity
from heddle.providers.kserve import tensors

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
OUTPUTS_MAX: Final = 64


class AnswerRefused(ValueError):
    """Say why an answer is not one of the protocol."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Hold a request ready to send."""

    headers: Mapping[str, str]
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Hold one parsed answer."""

    id: str
    outputs: tuple[tensors.Tensor, ...]


def write(
    *,
    request_id: str,
    inputs: Sequence[tensors.Tensor],
    outputs: Sequence[str],
    parameters: Mapping[str, identity.JsonValue],
    is_binary: bool,
) -> Body:
    """Write a request; ``outputs`` names the tensors asked for, none meaning all. Raises TensorRefused."""
    head: dict[str, Any] = {"id": request_id}
    own = {**parameters, "binary_data_output": True} if is_binary else dict(parameters)
    if own:
        head["parameters"] = own
    if outputs:
        asked = {"parameters": {"binary_data": True}} if is_binary else {}
        head["outputs"] = [{"name": name, **asked} for name in outputs]
    head["inputs"] = [_written(tensor, is_binary=is_binary) for tensor in inputs]
    text = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    if not is_binary:
        return Body(headers={"Content-Type": "application/json"}, data=text)
    return Body(
        headers={"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(text))},
        data=b"".join((text, *(tensor.data for tensor in inputs))),
    )


def _written(tensor: tensors.Tensor, *, is_binary: bool) -> dict[str, Any]:
    described = {"name": tensor.name, "shape": list(tensor.shape), "datatype": tensor.datatype}
    if is_binary:
        return {**described, "parameters": {"binary_data_size": len(tensor.data)}}
    if tensor.datatype == tensors.BF16:
        raise tensors.TensorRefused(f"{tensor.name} is BF16, which has no JSON form; use binary = true")
    return {**described, "data": tensors.unpack(tensor)}


def read(*, headers: Mapping[str, str], body: bytes) -> Answer:
    """Read an answer; header names are lower case. Raises AnswerRefused."""
    text, rest = _split(headers, body)
    try:
        head = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise AnswerRefused(f"its head is not JSON: {str(error)[:120]}") from None
    if not isinstance(head, dict) or not isinstance(head.get("outputs"), list) or len(head["outputs"]) > OUTPUTS_MAX:
        raise AnswerRefused(f"it is no object with a list of at most {OUTPUTS_MAX} `outputs`")
    outputs: list[tensors.Tensor] = []
    offset = 0
    for entry in head["outputs"]:
        tensor, used_bytes = _read_output(entry, rest[offset:])
        offset += used_bytes
        outputs.append(tensor)
    if offset != len(rest):
        raise AnswerRefused(f"{len(rest) - offset} bytes belong to no output")
    return Answer(id=str(head.get("id", "")), outputs=tuple(outputs))


def _split(headers: Mapping[str, str], body: bytes) -> tuple[bytes, memoryview]:
    stated = headers.get(HEADER_LENGTH.lower())
    if stated is None:
        return body, memoryview(b"")
    if not stated.isascii() or not stated.isdigit() or len(stated) > 12 or int(stated) > len(body):
        raise AnswerRefused(f"{HEADER_LENGTH} is {stated[:20]!r}, the body has {len(body)} bytes")
    return body[: int(stated)], memoryview(body)[int(stated) :]


def _read_output(entry: identity.JsonValue, rest: memoryview) -> tuple[tensors.Tensor, int]:
    if not isinstance(entry, dict):
        raise AnswerRefused("an output is no object")
    name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
    if not isinstance(name, str) or not isinstance(datatype, str) or datatype not in tensors.DATATYPES:
        raise AnswerRefused(f"an output has no name or the unknown datatype {str(datatype)[:40]!r}")
    is_shape = isinstance(shape, list) and len(shape) <= tensors.RANK_MAX
    if not is_shape or not all(type(size) is int and 0 <= size < 2**32 for size in shape or ()):
        raise AnswerRefused(f"the output {name[:80]!r} has the shape {str(shape)[:80]}")
    assert isinstance(shape, list)
    parameters = entry.get("parameters")
    size_bytes = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size_bytes is None:
        data = _packed(name, datatype, entry.get("data"))
        return tensors.Tensor(name=name, datatype=datatype, shape=tuple(shape), data=data), 0
    if type(size_bytes) is not int or not 0 <= size_bytes <= len(rest):
        raise AnswerRefused(f"the output {name[:80]!r} states {size_bytes!r} bytes, {len(rest)} are left")
    data = bytes(rest[:size_bytes])
    return tensors.Tensor(name=name, datatype=datatype, shape=tuple(shape), data=data), size_bytes


def _packed(name: str, datatype: str, data: identity.JsonValue) -> bytes:
    """Give JSON data, flat or nested, as raw bytes."""
    if not isinstance(data, list):
        raise AnswerRefused(f"the output {name[:80]!r} has neither `data` nor binary data")
    try:
        return tensors.pack(name[:80], datatype, tensors.flat(data))
    except tensors.TensorRefused as error:
        raise AnswerRefused(str(error)) from None
