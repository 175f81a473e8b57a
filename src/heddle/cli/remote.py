"""Speak to a Heddle service over HTTP, as any of its customers would: the same contract, nothing behind it.

It finds the service, sends a request, reads the answer, and turns refusals into sentences. It never repeats a request
by itself: whether that is safe is for the caller to know. Before it: a command. After it: the HTTP contract under /v1.
"""

import dataclasses
import http.client
import json
import os
import pathlib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from heddle.cli import complaints
from heddle.service import setup

TIMEOUT_S = 70.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
URL_VARIABLE = "HEDDLE_API_URL"
KEY_VARIABLE = "HEDDLE_API_KEY"


class Unreachable(complaints.CommandRefused):
    """Say that the service did not answer, or answered that it cannot now; asking again later is right."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, status=complaints.Exit.UNREACHABLE)
        self.retry_after_s = retry_after_s


class ApiRefused(complaints.CommandRefused):
    """Say what the service refused, in its own words."""

    def __init__(self, message: str, *, http_status: int, code: str) -> None:
        super().__init__(message, status=complaints.Exit.API_REFUSED)
        self.http_status = http_status
        self.code = code


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a service is, and the key to it."""

    url: str
    key: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: status, headers by lower-case name, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Read the body. Raises Unreachable when it is no JSON: then something else answered."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Unreachable(
                f"the answer is not JSON ({error}); is {URL_VARIABLE} the address of a Heddle service?"
            ) from error


def find(*, state_dir: pathlib.Path) -> Address:
    """Find the service: the one the environment names, else the one `heddle up` runs. Raises CommandRefused."""
    url, key = os.environ.get(URL_VARIABLE, ""), os.environ.get(KEY_VARIABLE, "")
    path = state_dir / "dev.json"
    if url and key:
        return Address(url=url.rstrip("/"), key=key)
    try:
        held = json.loads(path.read_text())
        return Address(url=(url or held["api_url"]).rstrip("/"), key=key or held["api_key"])
    except FileNotFoundError as error:
        raise complaints.CommandRefused(
            f"no service runs in {state_dir.resolve()}; start one with `heddle up`, or set {URL_VARIABLE} and "
            f"{KEY_VARIABLE}",
            status=complaints.Exit.UNREACHABLE,
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise complaints.CommandRefused(f"{path} cannot be read ({error}); start the service again") from error


def segment(text: str) -> str:
    """Give an id or a name as one segment of a path. Raises CommandRefused for what can be neither."""
    if not text or "/" in text:
        raise complaints.CommandRefused(f"{text!r} is no id; `heddle runs list` shows those of runs")
    return urllib.parse.quote(text, safe="")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follow nobody: the key would go along, to wherever an answer points."""

    def redirect_request(self, *_: Any) -> None:
        """Give no request to follow with, so that the answer is an error of its own."""


class Api:
    """One service, with one key."""

    def __init__(self, address: Address, *, timeout_s: float = TIMEOUT_S) -> None:
        _check(address)
        self.address = address
        self._timeout_s = timeout_s
        # No proxy of the environment: the key goes to the named address and nowhere else.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)

    def get(self, path: str, **query: str | int | None) -> Any:
        """Give the JSON at a path."""
        given = {name: value for name, value in query.items() if value is not None}
        return self.send("GET", f"{path}?{urllib.parse.urlencode(given)}" if given else path).json()

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """Send JSON."""
        content = json.dumps(body).encode()
        return self.send("POST", path, content=content, headers={"Content-Type": "application/json", **(headers or {})})

    def send(
        self, method: str, path: str, *, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Make one request. Raises Unreachable (no answer, 429, 503) and ApiRefused (every other refusal)."""
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self.address.url + path,
            data=content,
            method=method,
            headers={"Authorization": f"Bearer {self.address.key}", "Accept": "application/json", **(headers or {})},
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                return _answer(response.status, response.headers.items(), response.read(ANSWER_BYTES_MAX))
        except urllib.error.HTTPError as refusal:
            with refusal:
                body = refusal.read(ANSWER_BYTES_MAX)
            raise _refusal(self.address.url, _answer(refusal.code, refusal.headers.items(), body)) from None
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise Unreachable(f"{self.address.url} does not answer ({reason}); is the service up?") from error


def _check(address: Address) -> None:
    """Refuse an address or a key that no request could be made with; the key is not shown."""
    try:
        parts = urllib.parse.urlsplit(address.url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        address.url.encode("ascii")
    except ValueError:
        is_address = False
    if not is_address or not address.url.isprintable() or " " in address.url:
        raise complaints.CommandRefused(
            f"{URL_VARIABLE} is {address.url!r}; it must be an address such as http://127.0.0.1:8000"
        )
    if not address.key.isascii() or not address.key.isprintable():
        raise complaints.CommandRefused(f"{KEY_VARIABLE} holds a line end or another sign that no key has")


def here() -> Api:
    """Give the service that the environment names, or that runs in this folder. Raises CommandRefused."""
    return Api(find(state_dir=pathlib.Path(setup.read_settings().state_dir)))


def _answer(status: int, headers: Any, body: bytes) -> Answer:
    return Answer(status=status, headers={name.lower(): value for name, value in headers}, body=body)


def _refusal(url: str, answer: Answer) -> complaints.CommandRefused:
    """Word a problem+json: what happened, the fields at fault, what to do."""
    stranger = f"{url} answers HTTP {answer.status}, and not as Heddle's API does; check {URL_VARIABLE}"
    try:
        problem = json.loads(answer.body)
        errors = problem.get("errors", [])
        fields = "; ".join(f"{each['field']}: {each['message']}" for each in errors)
        detail = problem.get("detail") or problem.get("title") or ""
        # The detail of most refusals is their first field, which need not be read twice.
        if errors and detail.startswith(f"{errors[0]['field']} {errors[0]['message']}"):
            detail = ""
        message = " ".join(part for part in (detail, fields) if part) or stranger
        code = str(problem.get("code", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        message, code = stranger, ""
    if answer.status in (429, 502, 503, 504):
        return Unreachable(message, retry_after_s=_seconds(answer.headers.get("retry-after")))
    if answer.status == 401:
        message += f" Set {KEY_VARIABLE}, or make a key with `heddle keys create`."
    return ApiRefused(message, http_status=answer.status, code=code)


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
