"""fal's callbacks are believed under fal's published keys alone, and a missing key set holds no web thread for long."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from heddle.ports import provider
from heddle.providers import transport
from heddle.providers.fal import adapter, webhooks

NOW_S = 1_800_000_000.0
BODY = b'{"request_id": "req-1", "gateway_request_id": "req-2", "status": "OK", "payload": {}}'
OLD, NEW = (ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)) for number in (1, 2))


def published(*keys: ed25519.Ed25519PrivateKey) -> bytes:
    entries: list[dict[str, Any]] = [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]
    for key in keys:
        raw = key.public_key().public_bytes_raw()
        entries.append({"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()})
    return json.dumps({"keys": entries}).encode()


def signed(
    key: ed25519.Ed25519PrivateKey, *, body: bytes = BODY, at_s: float = NOW_S, request_id: str = "req-2"
) -> dict[str, str]:
    stamp = str(int(at_s))
    message = webhooks.signed_text(request_id=request_id, user_id="user-1", timestamp=stamp, body=body)
    return {
        "x-fal-webhook-request-id": request_id,
        "x-fal-webhook-user-id": "user-1",
        "x-fal-webhook-timestamp": stamp,
        "x-fal-webhook-signature": key.sign(message).hex(),
    }


class Publisher:
    """Answers with what is published at the moment; counts the questions; has a clock that a test sets."""

    def __init__(self, *keys: ed25519.Ed25519PrivateKey) -> None:
        self.answer: bytes | None = published(*keys)
        self.asked = 0
        self.at_s = 0.0
        self.keys = webhooks.KeySet("https://rest.example/jwks", fetch=self.fetch, monotonic_s=lambda: self.at_s)

    def fetch(self, _: str) -> bytes:
        self.asked += 1
        if self.answer is None:
            raise webhooks.KeysUnavailable("down")
        return self.answer

    def verify(self, headers: dict[str, str], *, body: bytes = BODY) -> str:
        return webhooks.verify(keys=self.keys, headers=headers, body=body, now_s=NOW_S)

    def refusal(self, headers: dict[str, str], *, body: bytes = BODY) -> str:
        with pytest.raises(webhooks.SignatureRefused) as refused:
            self.verify(headers, body=body)
        return refused.value.code


def test_callback_when_signed_by_any_published_key_then_believed_and_the_keys_are_kept() -> None:
    publisher = Publisher(OLD, NEW)

    assert [publisher.verify(signed(key)) for key in (NEW, OLD, NEW)] == ["req-2"] * 3
    assert publisher.asked == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda headers: headers | {"x-fal-webhook-signature": ""}, "missing"),
        (lambda headers: headers | {"x-fal-webhook-signature": "zz"}, "malformed"),
        (lambda headers: headers | {"x-fal-webhook-signature": "00" * 64}, "mismatch"),
        (lambda headers: headers | {"x-fal-webhook-user-id": "user-2"}, "mismatch"),
        (lambda headers: headers | {"x-fal-webhook-user-id": "user\n1"}, "malformed"),
        (lambda headers: headers | {"x-fal-webhook-timestamp": "soon"}, "stale"),
        (lambda _: signed(NEW, at_s=NOW_S - 301), "stale"),
        (lambda _: signed(NEW, at_s=NOW_S + 301), "stale"),
        (lambda _: signed(OLD), "mismatch"),
        (lambda _: signed(NEW, body=b"{}"), "mismatch"),
    ],
    ids=range(10),
)
def test_callback_when_forged_then_refused_by_code(
    change: Callable[[dict[str, str]], dict[str, str]], code: str
) -> None:
    assert Publisher(NEW).refusal(change(signed(NEW))) == code


def test_keys_when_fal_changes_them_then_fetched_again_once_they_are_not_fresh() -> None:
    publisher = Publisher(OLD)
    publisher.verify(signed(OLD))
    publisher.answer = published(NEW)

    first = publisher.refusal(signed(NEW))
    publisher.at_s = webhooks.KEYS_FRESH_S + 1

    assert first == "mismatch"
    assert publisher.verify(signed(NEW)) == "req-2"
    assert publisher.asked == 2


def test_keys_when_older_than_a_day_then_not_believed_any_more() -> None:
    publisher = Publisher(OLD)
    publisher.verify(signed(OLD))
    publisher.answer, publisher.at_s = None, webhooks.KEYS_KEPT_S + 1

    assert publisher.refusal(signed(OLD)) == "unavailable"


def test_keys_when_unavailable_then_refused_and_not_asked_for_again_soon() -> None:
    publisher = Publisher(OLD)
    publisher.answer = None

    codes = [publisher.refusal(signed(OLD)) for _ in range(5)]
    asked_in_vain = publisher.asked
    publisher.answer, publisher.at_s = published(OLD), webhooks.RETRY_AFTER_S

    assert codes == ["unavailable"] * 5
    assert asked_in_vain == 1
    assert publisher.verify(signed(OLD)) == "req-2"


def test_keys_when_forgeries_come_while_fal_is_down_then_the_known_keys_serve() -> None:
    publisher = Publisher(OLD)
    publisher.verify(signed(OLD))
    publisher.answer, publisher.at_s = None, 3_600.0

    codes = [publisher.refusal(signed(NEW)) for _ in range(3)]

    assert codes == ["mismatch"] * 3
    assert publisher.verify(signed(OLD)) == "req-2"
    assert publisher.asked == 2


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"keys": []}', b'{"keys": [{"kty": "OKP", "crv": "Ed25519"}]}', b"["])
def test_keys_when_the_answer_is_no_set_then_unavailable(answer: bytes) -> None:
    publisher = Publisher()
    publisher.answer = answer

    assert publisher.refusal(signed(OLD)) == "unavailable"


def test_adapter_when_nobody_publishes_keys_then_the_callback_is_refused() -> None:
    config = provider.EndpointConfig(
        name="there",
        adapter="fal",
        url="http://127.0.0.1:1",
        timeout_s=5,
        options={"jwks_url": "http://127.0.0.1:1/jwks.json"},
        secret="id:secret",
    )
    made = adapter.FalProvider(config, transport.Transport())

    with pytest.raises(provider.CallbackRefused, match=r"endpoint there \(unavailable\)"):
        made.verify_callback(headers=signed(OLD), body=BODY, now_s=NOW_S)
