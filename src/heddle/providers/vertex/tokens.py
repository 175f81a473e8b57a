"""Have a token for Google's APIs at hand: a fixed one, or one of a service account or of the machine, kept fresh.

google-auth, which the extra `gcp` brings, makes and renews tokens; it asks the network and therefore runs in a thread,
one at a time and within a bound. This module judges no answer. Before it: the adapter with a request. After it: the
request's Authorization header.
"""

import asyncio
import http.client
import importlib
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib import parse

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_TIMEOUT_S: Final = 10.0
CALL_TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 256 * 1024


class LibraryMissing(Exception):
    """Say that google-auth is not installed, and how to install it."""


class TokenMissing(Exception):
    """Say why there is no token."""


class AccountMalformed(ValueError):
    """Say why a secret is no service account's key; the key itself is never in the message."""


class Tokens:
    """Give tokens for one endpoint.

    secret: a token, or the JSON of a service account's key on one line; None asks for the machine's own account
    (Application Default Credentials). Raises LibraryMissing and AccountMalformed.
    """

    def __init__(self, secret: str | None) -> None:
        is_account = secret is not None and secret.startswith("{")
        self._fixed = None if is_account else secret
        self._lock = asyncio.Lock()
        self._credentials: Any = None
        if self._fixed is None:
            try:
                _library("google.auth")
            except ImportError:
                message = "the adapter vertex has tokens made by google-auth, which is not installed: "
                raise LibraryMissing(message + "pip install 'heddle[gcp]'") from None
        if is_account:
            assert secret is not None
            self._credentials = _account(secret)

    async def headers(self) -> dict[str, str]:
        """Give the header of a request. Raises TokenMissing."""
        return {"Authorization": f"Bearer {self._fixed or await self._fresh()}"}

    async def _fresh(self) -> str:
        exceptions = _library("google.auth.exceptions")
        async with self._lock:
            if self._credentials is not None and self._credentials.valid:
                return str(self._credentials.token)
            try:
                async with asyncio.timeout(TOKEN_TIMEOUT_S):
                    return await asyncio.to_thread(self._renewed)
            except TimeoutError:
                raise TokenMissing(f"Google gave no token within {TOKEN_TIMEOUT_S:g} s") from None
            except (exceptions.GoogleAuthError, OSError, http.client.HTTPException, ValueError) as error:
                raise TokenMissing(f"Google gave no token: {type(error).__name__}: {str(error)[:200]}") from None

    def _renewed(self) -> str:
        if self._credentials is None:
            self._credentials, _ = _library("google.auth").default(scopes=[SCOPE], request=ask)
        self._credentials.refresh(ask)
        return str(self._credentials.token)


def _library(name: str) -> Any:
    """Load a module of google-auth, most of which has no types, when it is needed. Raises ImportError."""
    return importlib.import_module(name)


def _account(secret: str) -> Any:
    exceptions = _library("google.auth.exceptions")
    try:
        return _library("google.oauth2.service_account").Credentials.from_service_account_info(
            json.loads(secret), scopes=[SCOPE]
        )
    except (exceptions.GoogleAuthError, ValueError, TypeError, KeyError, AttributeError):
        raise AccountMalformed("is no service account's key; it must be its JSON on one line") from None


class Answer:
    """Hold what Google's token server answered, in the form google-auth reads (google.auth.transport.Response)."""

    def __init__(self, *, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.status = status
        self.headers = headers
        self.data = data


def ask(
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    **_: object,
) -> Answer:
    """Send one request for google-auth (google.auth.transport.Request): no redirect, no proxy, bounded."""
    exceptions = _library("google.auth.exceptions")
    parts = parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=min(timeout or CALL_TIMEOUT_S, CALL_TIMEOUT_S))
    try:
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        data = answer.read(ANSWER_BYTES_MAX)
        return Answer(status=answer.status, headers=dict(answer.getheaders()), data=data)
    except (OSError, http.client.HTTPException) as error:
        raise exceptions.TransportError(f"{parts.hostname}: {type(error).__name__}") from error
    finally:
        connection.close()
