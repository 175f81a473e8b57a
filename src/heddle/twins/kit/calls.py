"""Hold one request to a twin, read whole, with what the vendor's routes ask of it: JSON, form fields, a digest.

The digest names what was asked for, so that the same request has the same fate however often it is sent; the boundary
of a multipart body, which clients choose by chance, does not count. What cannot be read is refused as the vendor would.
Before it: ``server``. After it: a vendor's route.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from heddle.core import identity
from heddle.twins.kit import faults

PARTS_MAX = 100
_PARAMETER = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')


class Refused(Exception):
    """Say why a request is refused: status, the vendor's code, a sentence, and the field that is to blame."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field of a form, or one file."""

    name: str
    filename: str | None
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. Header names are lower case. ``fault``: what is going to happen to the answer; a lie is the route's
    to tell.
    """

    request: web.Request
    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    parameters: Mapping[str, str]
    body: bytes
    at_s: float
    request_id: str
    fault: faults.RequestFault | None = None

    @property
    def digest(self) -> str:
        """Give the sha256 of method, path and body, in hex."""
        body = self.body
        boundary = self._boundary()
        if boundary:
            body = body.replace(boundary, b"boundary")
        return hashlib.sha256(b"\n".join((self.method.encode(), self.path.encode(), body))).hexdigest()

    def json(self) -> dict[str, identity.JsonValue]:
        """Read the body as a JSON object. Raises Refused."""
        try:
            value = json.loads(self.body or b"null")
        except (ValueError, RecursionError):
            raise Refused(400, "invalid_json", "We could not parse the JSON body of your request.") from None
        if not isinstance(value, dict):
            raise Refused(400, "invalid_json", "The body of this request is a JSON object.")
        return value

    def form(self) -> list[Part]:
        """Read a multipart body (RFC 7578). Raises Refused."""
        boundary = self._boundary()
        if not boundary:
            raise Refused(400, "invalid_form", "The body of this request is multipart/form-data.")
        pieces = (b"\r\n" + self.body).split(b"\r\n--" + boundary)
        if len(pieces) < 2 or not pieces[-1].startswith(b"--") or len(pieces) - 2 > PARTS_MAX:
            raise Refused(400, "invalid_form", f"The form does not end, or has more than {PARTS_MAX} parts.")
        return [_part(piece) for piece in pieces[1:-1]]

    def _boundary(self) -> bytes:
        kind, _, rest = self.headers.get("content-type", "").partition(";")
        if kind.strip().lower() != "multipart/form-data":
            return b""
        return rest.partition("boundary=")[2].partition(";")[0].strip().strip('"').encode()


def _part(piece: bytes) -> Part:
    head, ended, body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.decode("utf-8", "replace").split("\r\n"))
    }
    told = dict(_PARAMETER.findall(headers.get("content-disposition", "")))
    if not ended or "name" not in told:
        raise Refused(400, "invalid_form", "A part of the form has no name.")
    return Part(
        name=told["name"],
        filename=told.get("filename"),
        media_type=headers.get("content-type", "text/plain"),
        body=body,
    )
