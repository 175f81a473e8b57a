"""Read and write the messages of the protocol, JSON and binary tensors both ways, as Triton does.

Pure: bytes and records in, bytes and records out; what does not add up is refused in Triton's words. Source:
open-inference-protocol inference_rest.md; Triton docs/protocol and src/http_server.cc (read 2026-11-29). Before it:
``twin`` with a request. After it: ``models``, and ``twin`` again.
"""

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from heddle.core import identity

CODES = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
BYTES = "BYTES"
BF16 = "BF16"
INPUTS_MAX = 64


class TensorRefused(ValueError):
    """Say why a request is not one of the protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor: its elements in row-major order; those of BYTES are bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: tuple[identity.JsonValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. ``binary``: the outputs wanted behind the JSON; ``is_binary``: whether all others are too."""

    id: str
    parameters: Mapping[str, identity.JsonValue]
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    binary: Mapping[str, bool]
    is_binary: bool


def read(body: bytes, *, header_bytes: int | None) -> Request:
    """Read a request; header_bytes is Inference-Header-Content-Length. Raises TensorRefused."""
    if header_bytes is not None and not 0 < header_bytes <= len(body):
        raise TensorRefused(f"inference header size should be in range (0, {len(body)}], got: {header_bytes}")
    try:
        head = json.loads(body[:header_bytes])
    except (ValueError, RecursionError):
        raise TensorRefused("failed to parse the request JSON buffer: Invalid value. at 0") from None
    described = head.get("inputs") if isinstance(head, dict) else None
    if not isinstance(described, list) or len(described) > INPUTS_MAX:
        raise TensorRefused("Unable to parse 'inputs': attempt to access JSON non-array as array")
    rest = memoryview(body)[header_bytes:] if header_bytes is not None else memoryview(b"")
    inputs: dict[str, Tensor] = {}
    for description in described:
        tensor, rest = _input(description, rest)
        inputs[tensor.name] = tensor
    if len(rest):
        raise TensorRefused(f"unexpected additional input data for model: {len(rest)} bytes")
    parameters = head.get("parameters", {})
    wanted = [each for each in head.get("outputs", []) if isinstance(each, dict) and isinstance(each.get("name"), str)]
    return Request(
        id=str(head.get("id", "")),
        parameters=parameters if isinstance(parameters, dict) else {},
        inputs=inputs,
        outputs=tuple(each["name"] for each in wanted),
        binary={
            each["name"]: each["parameters"]["binary_data"] is True
            for each in wanted
            if isinstance(each.get("parameters"), dict) and "binary_data" in each["parameters"]
        },
        is_binary=isinstance(parameters, dict) and parameters.get("binary_data_output") is True,
    )


def write(request: Request, outputs: Sequence[Tensor], *, model: str, version: str) -> tuple[bytes, int | None]:
    """Write an answer; give its body and the size of its JSON part when binary tensors follow."""
    described, behind = [], []
    for tensor in outputs:
        told: dict[str, identity.JsonValue] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        if request.binary.get(tensor.name, request.is_binary):
            data = pack(tensor)
            told["parameters"] = {"binary_data_size": len(data)}
            behind.append(data)
        else:
            told["data"] = [_json(value) for value in tensor.values]
        described.append(told)
    frame = {"model_name": model, "model_version": version, "outputs": described}
    head = json.dumps({"id": request.id, **frame} if request.id else frame, separators=(",", ":")).encode()
    return b"".join((head, *behind)), len(head) if behind else None


def pack(tensor: Tensor) -> bytes:
    """Give a tensor's raw little-endian bytes; BYTES elements each behind their length."""
    if tensor.datatype == BYTES:
        return b"".join(struct.pack("<I", len(value)) + value for value in tensor.values)
    if tensor.datatype == BF16:
        return b"".join(struct.pack("<f", value)[2:] for value in tensor.values)
    return struct.pack(f"<{len(tensor.values)}{CODES[tensor.datatype]}", *tensor.values)


def renamed(tensor: Tensor, name: str) -> Tensor:
    """Give a tensor under another name."""
    return replace(tensor, name=name)


def _json(value: identity.JsonValue) -> identity.JsonValue:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _input(description: identity.JsonValue, rest: memoryview) -> tuple[Tensor, memoryview]:
    told = description if isinstance(description, dict) else {}
    name, datatype, shape = told.get("name"), told.get("datatype"), told.get("shape")
    if not isinstance(name, str) or datatype not in (*CODES, BYTES, BF16):
        raise TensorRefused(f"invalid datatype for input {name!s}: {datatype!s}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise TensorRefused(f"Unable to parse 'shape' of input '{name}'")
    parameters = told.get("parameters")
    size_bytes = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    count = math.prod(shape)
    if size_bytes is None:
        if datatype == BF16:
            raise TensorRefused("sending BF16 data via JSON is not supported. Please use the binary data format")
        values = tuple(_from_json(name, datatype, told.get("data")))
    else:
        if type(size_bytes) is not int or not 0 <= size_bytes <= len(rest):
            raise TensorRefused(f"unable to get binary data for input '{name}': {size_bytes} bytes")
        values, rest = tuple(_from_bytes(name, datatype, bytes(rest[:size_bytes]))), rest[size_bytes:]
    if len(values) != count:
        raise TensorRefused(f"Unable to parse 'data': Shape does not match true shape of 'data' field of '{name}'")
    return Tensor(name=name, datatype=datatype, shape=tuple(shape), values=values), rest


def _from_json(name: str, datatype: str, data: identity.JsonValue) -> Iterator[identity.JsonValue]:
    if not isinstance(data, list):
        raise TensorRefused(f"Unable to parse 'data' of input '{name}': attempt to access JSON non-array as array")
    for value in _flat(data):
        if datatype == BYTES and isinstance(value, str):
            yield value.encode()
        elif datatype != BYTES and isinstance(value, bool) == (datatype == "BOOL") and not isinstance(value, str):
            yield value
        else:
            raise TensorRefused(f"Unable to parse 'data' of input '{name}': an element is no {datatype}")


def _flat(data: list[identity.JsonValue]) -> Iterator[identity.JsonValue]:
    for value in data:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _from_bytes(name: str, datatype: str, data: bytes) -> Iterator[identity.JsonValue]:
    if datatype == BYTES:
        offset = 0
        while offset < len(data):
            if offset + 4 > len(data):
                raise TensorRefused(f"unexpected string size for inference input '{name}'")
            (length,) = struct.unpack_from("<I", data, offset)
            element = data[offset + 4 : offset + 4 + length]
            if len(element) != length:
                raise TensorRefused(f"incomplete string data for inference input '{name}'")
            yield element
            offset += 4 + length
        return
    code = "H" if datatype == BF16 else CODES[datatype]
    if len(data) % struct.calcsize(f"<{code}"):
        raise TensorRefused(f"unexpected total byte size {len(data)} for input '{name}'")
    for (value,) in struct.iter_unpack(f"<{code}", data):
        yield struct.unpack("<f", struct.pack("<HH", 0, value))[0] if datatype == BF16 else value
