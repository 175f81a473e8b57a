"""The language spoken between the pool and its children: length-prefixed frames over a stream socket.

It packs and unpacks; it refuses to read or write a socket, and to unpickle anything: a child that ran an author's
native code may send any bytes, so whatever the parent reads is checked here and is plain data. Imported by both ends,
so it stays small: a child pays for every import at each start.
"""

import dataclasses
import enum
import json
import struct

HEADER = struct.Struct("!BI")
_CALL_HEAD = struct.Struct("!QI")
_SIZE = struct.Struct("!Q")

MESSAGE_CHARS_MAX = 2_000
TRACEBACK_CHARS_MAX = 16_000
# A RAISED frame at its bounds, with each character escaped as six bytes of JSON, stays under this.
REPORT_BYTES_MAX = 256 * 1024


class Kind(enum.IntEnum):
    """Name the frames, in the order in which they pass. The first and CALL go to the child, the others come from it."""

    PREPARE = 1
    READY = 2
    REFUSED = 3
    CALL = 4
    DONE = 5
    RAISED = 6
    TOO_LARGE = 7


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Hold what a child does before it says ready.

    ``python_path``: the value of PYTHONPATH that steps and their own children are to see; None removes it.
    """

    preload: tuple[str, ...]
    python_path: str | None
    max_result_bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """Hold an exception as text; each field within its bound."""

    error_type: str
    message: str
    traceback_text: str


def pack(kind: Kind, payload: bytes = b"") -> bytes:
    """Put the header before a payload."""
    return HEADER.pack(kind, len(payload)) + payload


def pack_preparation(preparation: Preparation) -> bytes:
    """Write a preparation as a frame."""
    return pack(Kind.PREPARE, json.dumps(dataclasses.asdict(preparation)).encode())


def unpack_preparation(payload: bytes) -> Preparation:
    """Read a preparation; it comes from our own parent and is trusted."""
    fields = json.loads(payload)
    return Preparation(
        preload=tuple(fields["preload"]), python_path=fields["python_path"], max_result_bytes=fields["max_result_bytes"]
    )


def pack_call(*, function: str, memory_bytes: int | None, arguments: bytes) -> bytes:
    """Write a call as a frame; ``arguments`` are pickled keywords."""
    name = function.encode()
    head = _CALL_HEAD.pack(memory_bytes or 0, len(name))
    return b"".join((HEADER.pack(Kind.CALL, len(head) + len(name) + len(arguments)), head, name, arguments))


def unpack_call(payload: bytes) -> tuple[str, int | None, memoryview]:
    """Read a call: function, memory cap, pickled arguments (a view on ``payload``)."""
    memory_bytes, name_bytes = _CALL_HEAD.unpack_from(payload)
    end = _CALL_HEAD.size + name_bytes
    return payload[_CALL_HEAD.size : end].decode(), memory_bytes or None, memoryview(payload)[end:]


def pack_raised(raised: Raised, *, kind: Kind = Kind.RAISED) -> bytes:
    """Write an exception as a frame; ``kind`` is REFUSED when it was raised by the preparation."""
    return pack(kind, json.dumps([raised.error_type, raised.message, raised.traceback_text]).encode())


def unpack_raised(payload: bytes) -> Raised:
    """Read an exception. Raises ValueError when the bytes are no such thing."""
    fields = json.loads(payload)
    if not (isinstance(fields, list) and len(fields) == 3 and all(isinstance(field, str) for field in fields)):
        raise ValueError("three strings were expected")
    return Raised(error_type=fields[0], message=fields[1], traceback_text=fields[2])


def pack_size(size_bytes: int) -> bytes:
    """Write the size of a result that is not sent as a frame."""
    return pack(Kind.TOO_LARGE, _SIZE.pack(size_bytes))


def unpack_size(payload: bytes) -> int:
    """Read the size of a result that was not sent. Raises ValueError when the bytes are no such thing."""
    if len(payload) != _SIZE.size:
        raise ValueError(f"{_SIZE.size} bytes were expected, not {len(payload)}")
    return int(_SIZE.unpack(payload)[0])
