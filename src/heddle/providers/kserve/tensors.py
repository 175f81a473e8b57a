"""Turn JSON values into tensors and tensors into JSON values, in memory and without numpy.

A tensor's data is its raw little-endian bytes in row-major order, as the binary tensor extension sends them; the JSON
form is made from the same bytes. This module refuses ragged lists, unknown datatypes and sizes that do not add up, and
it knows no HTTP. Before it: ``wire`` with names and options. After it: ``wire`` with a body.
"""

import dataclasses
import itertools
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from heddle.core import identity

CODES: Final = {
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
BYTES: Final = "BYTES"
BF16: Final = "BF16"  # the upper half of an FP32, which struct has no code for
DATATYPES: Final = frozenset({*CODES, BYTES, BF16})
RANK_MAX: Final = 8


class TensorRefused(ValueError):
    """Say why a value is no tensor, or a tensor no value."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """Hold one named tensor: ``data`` is raw little-endian, row-major; BYTES elements each carry a 4-byte length."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes

    @property
    def elements(self) -> int:
        """Count the elements that the shape has room for."""
        return math.prod(self.shape)


def from_value(*, name: str, value: identity.JsonValue, datatype: str | None, shape: Sequence[int] | None) -> Tensor:
    """Make a tensor of a scalar or a nested, rectangular list.

    Without a datatype: booleans are BOOL, whole numbers INT64, other numbers FP32, texts BYTES (UTF-8). Without a shape
    a scalar is [1] and a list has the shape it shows. Raises TensorRefused.
    """
    found_shape = _shape_of(name, value)
    elements = flat(value)
    if len(elements) != math.prod(found_shape):
        raise TensorRefused(f"{name} is a ragged list; every row needs the same length")
    wanted_shape = tuple(shape) if shape is not None else found_shape
    if math.prod(wanted_shape) != len(elements):
        raise TensorRefused(f"{name} has {len(elements)} elements, which do not fill the shape {list(wanted_shape)}")
    wanted_type = datatype or _datatype_of(name, elements)
    return Tensor(name=name, datatype=wanted_type, shape=wanted_shape, data=pack(name, wanted_type, elements))


def of_bytes(*, name: str, data: bytes) -> Tensor:
    """Make a BYTES tensor of one element, such as a file."""
    return Tensor(name=name, datatype=BYTES, shape=(1,), data=struct.pack("<I", len(data)) + data)


def single_bytes(tensor: Tensor) -> bytes | None:
    """Give the one element of a BYTES tensor as it is; None for any other tensor."""
    if tensor.datatype != BYTES or tensor.elements != 1 or len(tensor.data) < 4:
        return None
    (length,) = struct.unpack_from("<I", tensor.data)
    return tensor.data[4:] if length == len(tensor.data) - 4 else None


def flat(value: identity.JsonValue) -> list[identity.JsonValue]:
    """List the elements of a nested list in row-major order; a scalar is a list of one."""
    return list(_elements(value))


def pack(name: str, datatype: str, elements: Sequence[identity.JsonValue]) -> bytes:
    """Write elements as raw bytes. Raises TensorRefused when one does not fit the datatype."""
    if datatype == BYTES:
        encoded = [_bytes_of(name, element) for element in elements]
        return b"".join(struct.pack("<I", len(element)) + element for element in encoded)
    if datatype == BF16:
        return _pack_bf16(pack(name, "FP32", elements))
    if datatype not in CODES:
        raise TensorRefused(f"{name} has the datatype {datatype!r}; known are {', '.join(sorted(DATATYPES))}")
    if any(isinstance(element, str) or element is None for element in elements):
        raise TensorRefused(f"{name} has an element that is no {datatype}")
    if (datatype == "BOOL") != any(isinstance(element, bool) for element in elements) and elements:
        raise TensorRefused(f"{name} mixes booleans with {datatype}")
    try:
        return struct.pack(f"<{len(elements)}{CODES[datatype]}", *elements)
    except (struct.error, OverflowError) as error:
        raise TensorRefused(f"{name} has an element that is no {datatype}: {error}") from None


def to_value(tensor: Tensor, *, elements_max: int) -> identity.JsonValue:
    """Give a tensor as nested lists of its shape. BYTES must be UTF-8. Raises TensorRefused."""
    if tensor.elements > elements_max:
        raise TensorRefused(f"{tensor.name} has {tensor.elements} elements; at most {elements_max} are kept inline")
    rows = unpack(tensor)
    for size in reversed(tensor.shape[1:]):
        count = len(rows) // size if size else 0
        rows = [rows[index * size : (index + 1) * size] for index in range(count)]
    return rows if tensor.shape else rows[0]


def unpack(tensor: Tensor) -> list[identity.JsonValue]:
    """Read the elements of a tensor, flat. Raises TensorRefused."""
    if tensor.datatype == BYTES:
        return _unpack_bytes(tensor)
    if tensor.datatype == BF16:
        widened = b"".join(b"\0\0" + tensor.data[index : index + 2] for index in range(0, len(tensor.data), 2))
        return unpack(dataclasses.replace(tensor, datatype="FP32", data=widened))
    code = CODES.get(tensor.datatype)
    if code is None:
        raise TensorRefused(f"{tensor.name} has the unknown datatype {tensor.datatype[:40]!r}")
    if len(tensor.data) != tensor.elements * struct.calcsize(f"<{code}"):
        raise TensorRefused(f"{tensor.name} has {len(tensor.data)} bytes, not what its shape and datatype ask for")
    values = list(struct.unpack(f"<{tensor.elements}{code}", tensor.data))
    if tensor.datatype.startswith("FP") and not all(math.isfinite(value) for value in values):
        raise TensorRefused(f"{tensor.name} holds a NaN or an infinity, which JSON cannot carry")
    return values


def _pack_bf16(data: bytes) -> bytes:
    """Round FP32 to its upper half, to the nearest and of two to the even one (IEEE 754 section 4.3.1)."""
    words = struct.unpack(f"<{len(data) // 4}I", data)
    return struct.pack(f"<{len(words)}H", *((word + 0x7FFF + (word >> 16 & 1)) >> 16 & 0xFFFF for word in words))


def _unpack_bytes(tensor: Tensor) -> list[identity.JsonValue]:
    values: list[identity.JsonValue] = []
    offset = 0
    while offset < len(tensor.data):
        if offset + 4 > len(tensor.data):
            raise TensorRefused(f"{tensor.name} ends in the middle of an element")
        (length,) = struct.unpack_from("<I", tensor.data, offset)
        element = tensor.data[offset + 4 : offset + 4 + length]
        if len(element) != length:
            raise TensorRefused(f"{tensor.name} ends in the middle of an element")
        try:
            values.append(element.decode("utf-8"))
        except UnicodeDecodeError:
            raise TensorRefused(f"{tensor.name} holds bytes that are no UTF-8 text") from None
        offset += 4 + length
    if len(values) != tensor.elements:
        raise TensorRefused(f"{tensor.name} has {len(values)} elements, its shape has {tensor.elements}")
    return values


def _shape_of(name: str, value: identity.JsonValue) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > RANK_MAX:
            raise TensorRefused(f"{name} is nested more than {RANK_MAX} deep")
        if not value:
            break
        _require_even(name, value)
        value = value[0]
    return tuple(shape) or (1,)


def _require_even(name: str, rows: list[identity.JsonValue]) -> None:
    lengths = {len(row) if isinstance(row, list) else -1 for row in rows}
    if len(lengths) > 1:
        raise TensorRefused(f"{name} is a ragged list; every row needs the same length")


def _elements(value: identity.JsonValue) -> Iterator[identity.JsonValue]:
    if isinstance(value, list):
        yield from itertools.chain.from_iterable(map(_elements, value))
    else:
        yield value


def _datatype_of(name: str, elements: Sequence[identity.JsonValue]) -> str:
    kinds = {type(element) for element in elements}
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    if kinds and kinds <= {int, float}:
        return "FP32"
    if kinds == {str}:
        return BYTES
    raise TensorRefused(f"{name} is neither numbers, booleans, texts nor a picture; give its datatype in `inputs`")


def _bytes_of(name: str, element: identity.JsonValue) -> bytes:
    if not isinstance(element, str):
        raise TensorRefused(f"{name} has an element that is no text, which BYTES asks for")
    return element.encode("utf-8")
