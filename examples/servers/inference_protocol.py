"""Parses and builds KServe V2 (Open Inference Protocol) messages, JSON and binary tensor extension alike.

Pure functions between bytes and records: a request's body becomes named tensors, output tensors become a body. Every
shape, type and size is checked before an array is made. It knows no model and no HTTP server. Before and after it
stands `model_server`. Source: kserve.github.io, V2 protocol, "HTTP/REST" and "Binary Data Extension".
"""

import base64
import binascii
import json
import math
import struct
import typing
from collections import abc
from dataclasses import dataclass

import numpy as np
from numpy import typing as npt

ELEMENTS_MAX = 40_000_000
DIMENSIONS_MAX = 8
INPUTS_MAX = 16
ID_CHARACTERS_MAX = 200
DATATYPES: abc.Mapping[str, str] = {"UINT8": "<u1", "INT32": "<i4", "FP32": "<f4"}


class BadRequest(ValueError):
    """Say what in a request is not as the protocol has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A named tensor: elements for BYTES, else values, whose shape is the declared one."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: npt.NDArray[typing.Any] | None
    elements: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """A parsed request. outputs: names asked for, empty for all usual ones; binary_outputs: those wanted as binary."""

    id: str | None
    inputs: abc.Mapping[str, Tensor]
    outputs: tuple[str, ...]
    binary_outputs: frozenset[str]
    is_binary_by_default: bool

    def is_binary(self, name: str) -> bool:
        """Tell whether an output is to be sent behind the JSON instead of in it."""
        return self.is_binary_by_default or name in self.binary_outputs


def parse(*, body: bytes, header_size_bytes: int | None) -> InferRequest:
    """Parse an infer request; header_size_bytes is Inference-Header-Content-Length, None where absent.

    Raises BadRequest with a sentence that names the field.
    """
    if header_size_bytes is not None and not 0 < header_size_bytes <= len(body):
        raise BadRequest(
            f"Inference-Header-Content-Length {header_size_bytes} is not within the {len(body)} byte body."
        )
    try:
        header = json.loads(body[:header_size_bytes])
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The request is not JSON: {error}.") from error
    if not isinstance(header, dict):
        raise BadRequest("The request must be a JSON object.")
    request_id = header.get("id")
    if request_id is not None and (not isinstance(request_id, str) or len(request_id) > ID_CHARACTERS_MAX):
        raise BadRequest(f"id must be a text of at most {ID_CHARACTERS_MAX} characters.")
    described = _objects(header.get("inputs"), "inputs")
    if not described:
        raise BadRequest("inputs must name at least one tensor.")
    binary = memoryview(body)[header_size_bytes:] if header_size_bytes is not None else memoryview(b"")
    inputs: dict[str, Tensor] = {}
    for description in described:
        tensor, binary = _tensor(description, binary)
        if tensor.name in inputs:
            raise BadRequest(f"Input {tensor.name} is given twice.")
        inputs[tensor.name] = tensor
    if len(binary):
        raise BadRequest(f"{len(binary)} bytes behind the last binary tensor belong to no input.")
    wanted = _objects(header.get("outputs", []), "outputs")
    return InferRequest(
        id=request_id,
        inputs=inputs,
        outputs=tuple(_name(output, "outputs") for output in wanted),
        binary_outputs=frozenset(_name(output, "outputs") for output in wanted if _flag(output, "binary_data")),
        is_binary_by_default=_flag(header, "binary_data_output"),
    )


def build(
    *, model: str, version: str, request: InferRequest, outputs: abc.Sequence[Tensor]
) -> tuple[bytes, int | None]:
    """Build a response's body, and the size of its JSON part where binary tensors follow it."""
    described: list[dict[str, typing.Any]] = []
    binary: list[bytes] = []
    for tensor in outputs:
        description: dict[str, typing.Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        if request.is_binary(tensor.name):
            content = _binary(tensor)
            description["parameters"] = {"binary_data_size": len(content)}
            binary.append(content)
        else:
            description["data"] = _json_data(tensor)
        described.append(description)
    answer: dict[str, typing.Any] = {"model_name": model, "model_version": version, "outputs": described}
    if request.id is not None:
        answer["id"] = request.id
    header = json.dumps(answer, separators=(",", ":")).encode()
    return b"".join([header, *binary]), len(header) if binary else None


def array_tensor(*, name: str, datatype: str, values: npt.NDArray[typing.Any]) -> Tensor:
    """Make an output tensor of an array."""
    shape = tuple(int(size) for size in values.shape)
    return Tensor(name=name, datatype=datatype, shape=shape, values=values, elements=())


def bytes_tensor(*, name: str, element: bytes) -> Tensor:
    """Make an output tensor of one BYTES element."""
    return Tensor(name=name, datatype="BYTES", shape=(1,), values=None, elements=(element,))


def _tensor(description: dict[str, typing.Any], binary: memoryview) -> tuple[Tensor, memoryview]:
    """Parse one input and return what is left of the binary part behind it."""
    name, datatype = _name(description, "inputs"), description.get("datatype")
    if datatype != "BYTES" and (not isinstance(datatype, str) or datatype not in DATATYPES):
        raise BadRequest(f"Input {name}: datatype must be one of BYTES, {', '.join(DATATYPES)}.")
    shape = _shape(description.get("shape"), name)
    parameters = description.get("parameters", {})
    size_bytes = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size_bytes is None:
        return _tensor_of_json(name, datatype, shape, description.get("data")), binary
    if "data" in description:
        raise BadRequest(f"Input {name} has both data and binary_data_size: give one.")
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or not 0 <= size_bytes <= len(binary):
        raise BadRequest(f"Input {name}: binary_data_size {size_bytes!r} is not within the {len(binary)} bytes left.")
    content, rest = bytes(binary[:size_bytes]), binary[size_bytes:]
    if datatype == "BYTES":
        elements = _split_elements(content, name)
        if len(elements) != math.prod(shape):
            raise BadRequest(f"Input {name} has {len(elements)} elements and its shape {list(shape)} another number.")
        return Tensor(name=name, datatype=datatype, shape=shape, values=None, elements=elements), rest
    element = np.dtype(DATATYPES[datatype])
    if size_bytes != math.prod(shape) * element.itemsize:
        raise BadRequest(f"Input {name}: {size_bytes} bytes are not a {datatype} tensor of shape {list(shape)}.")
    values = np.frombuffer(content, dtype=element).reshape(shape)
    return Tensor(name=name, datatype=datatype, shape=shape, values=values, elements=()), rest


def _tensor_of_json(name: str, datatype: str, shape: tuple[int, ...], data: object) -> Tensor:
    """Read data from JSON: flat or nested lists of numbers; BYTES elements are base64 texts."""
    if not isinstance(data, list):
        raise BadRequest(f"Input {name} has neither a data list nor parameters.binary_data_size.")
    if datatype == "BYTES":
        try:
            elements = tuple(base64.b64decode(element, validate=True) for element in data)
        except (binascii.Error, TypeError, ValueError) as error:
            raise BadRequest(f"Input {name}: BYTES in JSON must be base64 texts: {error}.") from error
        if len(elements) != math.prod(shape):
            raise BadRequest(f"Input {name} has {len(elements)} elements and its shape {list(shape)} another number.")
        return Tensor(name=name, datatype=datatype, shape=shape, values=None, elements=elements)
    try:
        values = np.asarray(data, dtype=np.dtype(DATATYPES[datatype]))
    except (ValueError, TypeError, OverflowError) as error:
        raise BadRequest(f"Input {name}: data is not a list of {datatype} numbers: {error}.") from error
    if values.size != math.prod(shape) or (values.ndim > 1 and values.shape != shape):
        raise BadRequest(f"Input {name}: data of shape {list(values.shape)} does not fill the shape {list(shape)}.")
    return Tensor(name=name, datatype=datatype, shape=shape, values=values.reshape(shape), elements=())


def _split_elements(content: bytes, name: str) -> tuple[bytes, ...]:
    """Split binary BYTES: each element behind its length, four bytes, little endian."""
    elements: list[bytes] = []
    position = 0
    while position < len(content):
        if position + 4 > len(content):
            raise BadRequest(f"Input {name}: a length is cut off.")
        (size_bytes,) = struct.unpack_from("<I", content, position)
        position += 4
        if position + size_bytes > len(content):
            raise BadRequest(f"Input {name}: an element of {size_bytes} bytes is cut off.")
        elements.append(content[position : position + size_bytes])
        position += size_bytes
    return tuple(elements)


def _binary(tensor: Tensor) -> bytes:
    if tensor.datatype == "BYTES":
        return b"".join(struct.pack("<I", len(element)) + element for element in tensor.elements)
    assert tensor.values is not None
    return np.ascontiguousarray(tensor.values, dtype=np.dtype(DATATYPES[tensor.datatype])).tobytes()


def _json_data(tensor: Tensor) -> list[typing.Any]:
    if tensor.datatype == "BYTES":
        return [base64.b64encode(element).decode() for element in tensor.elements]
    assert tensor.values is not None
    return list(tensor.values.reshape(-1).tolist())


def _objects(value: object, field: str) -> list[dict[str, typing.Any]]:
    if not isinstance(value, list) or len(value) > INPUTS_MAX or not all(isinstance(item, dict) for item in value):
        raise BadRequest(f"{field} must be a list of at most {INPUTS_MAX} objects.")
    return value


def _name(description: dict[str, typing.Any], field: str) -> str:
    name = description.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= ID_CHARACTERS_MAX:
        raise BadRequest(f"Each of {field} must have a name.")
    return name


def _shape(value: object, name: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= DIMENSIONS_MAX:
        raise BadRequest(f"Input {name}: shape must be a list of 1 to {DIMENSIONS_MAX} sizes.")
    sizes: list[int] = []
    for size in value:
        if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= ELEMENTS_MAX:
            raise BadRequest(f"Input {name}: {size!r} in shape is not a positive whole number.")
        sizes.append(size)
    if math.prod(sizes) > ELEMENTS_MAX:
        raise BadRequest(f"Input {name} has more than {ELEMENTS_MAX} elements.")
    return tuple(sizes)


def _flag(description: dict[str, typing.Any], name: str) -> bool:
    parameters = description.get("parameters", {})
    return isinstance(parameters, dict) and parameters.get(name) is True
