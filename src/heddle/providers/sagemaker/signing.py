"""Sign requests to AWS (Signature Version 4) with botocore, which the extra `aws` brings.

Credentials are the endpoint's own secret, or botocore's chain (environment, profile, instance role), which may ask the
network and therefore runs in a thread, within a bound. This module sends nothing. Before it: the adapter with a
request. After it: the transport.
"""

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any, Final
from urllib import parse

CREDENTIALS_TIMEOUT_S: Final = 10.0
SAGEMAKER: Final = "sagemaker"
S3: Final = "s3"
# What SigV4 leaves as it is in a path; other characters would be written differently by the HTTP client.
PLAIN_PATH: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")


class SignerMissing(Exception):
    """Say that botocore is not installed, and how to install it."""


class CredentialsMissing(Exception):
    """Say why there is nothing to sign with."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Hold one set of credentials; ``repr`` hides it."""

    access_key: str
    secret_key: str = dataclasses.field(repr=False)
    token: str | None = dataclasses.field(repr=False, default=None)


def read_keys(secret: str) -> Keys | None:
    """Read ``ACCESS_KEY_ID:SECRET_ACCESS_KEY``, perhaps with ``:SESSION_TOKEN``; None when it is of another form."""
    parts = secret.split(":", 2)
    if len(parts) < 2 or not all(parts):
        return None
    return Keys(access_key=parts[0], secret_key=parts[1], token=parts[2] if len(parts) > 2 else None)


class Signer:
    """Sign for one region. Raises SignerMissing when made without botocore."""

    def __init__(self, *, keys: Keys | None, region: str) -> None:
        try:
            import botocore.session  # noqa: F401 - that it is there is what is asked
        except ImportError:
            message = "the adapter sagemaker signs with botocore, which is not installed: pip install 'heddle[aws]'"
            raise SignerMissing(message) from None
        self._region = region
        self._keys = keys
        self._chain: Any = None

    async def signed(
        self, *, service: str, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> dict[str, str]:
        """Give a request's headers with its signature. Raises CredentialsMissing."""
        from botocore import auth, awsrequest, credentials

        assert set(parse.urlsplit(url).path) <= PLAIN_PATH, "a path that would be written in two ways is never built"
        keys = self._keys or await self._from_chain()
        request = awsrequest.AWSRequest(method=method, url=url, data=body, headers=dict(headers))
        kind = auth.S3SigV4Auth if service == S3 else auth.SigV4Auth
        held = credentials.Credentials(keys.access_key, keys.secret_key, keys.token)
        kind(held, service, self._region).add_auth(request)
        return {str(name): str(value) for name, value in request.headers.items()}

    async def _from_chain(self) -> Keys:
        """Ask botocore's chain; it keeps what it found and renews it before it expires."""
        try:
            async with asyncio.timeout(CREDENTIALS_TIMEOUT_S):
                frozen = await asyncio.to_thread(self._frozen)
        except TimeoutError:
            raise CredentialsMissing(f"no AWS credentials within {CREDENTIALS_TIMEOUT_S:g} s") from None
        except Exception as error:  # noqa: BLE001 - each source of the chain raises its own; the kind is told, no value
            raise CredentialsMissing(f"AWS credentials could not be had: {type(error).__name__}") from None
        if frozen is None:
            raise CredentialsMissing(
                'there are no AWS credentials: write secret = "env:NAME" with ACCESS_KEY_ID:SECRET_ACCESS_KEY, or give '
                "the worker a role"
            )
        return Keys(access_key=frozen.access_key, secret_key=frozen.secret_key, token=frozen.token)

    def _frozen(self) -> Any:
        from botocore import session

        if self._chain is None:
            self._chain = session.Session().get_credentials()
        return None if self._chain is None else self._chain.get_frozen_credentials()
