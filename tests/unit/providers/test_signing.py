"""Webhook signatures fit the published example, and nothing else passes."""

import base64
import dataclasses

import pytest

from heddle.providers import signing

# The example of the Standard Webhooks reference libraries (libraries/python/tests/test_webhooks.py).
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP_S = 1_614_265_330
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def headers(**changes: str) -> dict[str, str]:
    made = {"webhook-id": ID, "webhook-timestamp": str(TIMESTAMP_S), "webhook-signature": SIGNATURE}
    return {**made, **{name.replace("_", "-"): value for name, value in changes.items()}}


def test_sign_when_given_the_published_example_then_the_published_signature() -> None:
    assert signing.sign(secret=SECRET, message_id=ID, timestamp_s=TIMESTAMP_S, body=BODY) == headers()


@pytest.mark.parametrize("skew_s", [-300, 0, 300])
def test_verify_when_within_the_tolerance_then_gives_the_id(skew_s: int) -> None:
    assert signing.verify(secret=SECRET, headers=headers(), body=BODY, now_s=TIMESTAMP_S + skew_s) == ID


def test_verify_when_a_secret_is_rotated_then_one_fitting_signature_is_enough() -> None:
    several = f"v1a,AAAA v1,{base64.b64encode(bytes(32)).decode()} v1,not-base64 {SIGNATURE}"

    assert signing.verify(secret=SECRET, headers=headers(webhook_signature=several), body=BODY, now_s=TIMESTAMP_S) == ID


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Forgery:
    headers: dict[str, str]
    code: str
    body: bytes = BODY
    now_s: float = TIMESTAMP_S


@pytest.mark.parametrize(
    "forgery",
    [
        Forgery(headers={}, code="missing"),
        Forgery(headers=headers(webhook_signature=""), code="missing"),
        Forgery(headers=headers(), code="mismatch", body=BODY + b" "),
        Forgery(headers=headers(webhook_id="msg_other"), code="mismatch"),
        Forgery(headers=headers(webhook_id="x" * 257), code="malformed"),
        Forgery(headers=headers(webhook_id="a\nb"), code="malformed"),
        Forgery(headers=headers(webhook_timestamp=str(TIMESTAMP_S + 1)), code="mismatch"),
        Forgery(headers=headers(webhook_timestamp="now"), code="malformed"),
        Forgery(headers=headers(webhook_timestamp="-1"), code="malformed"),
        Forgery(headers=headers(webhook_timestamp="١٢٣"), code="malformed"),
        Forgery(headers=headers(webhook_timestamp="9" * 400), code="malformed"),
        Forgery(headers=headers(), code="stale", now_s=TIMESTAMP_S + 301),
        Forgery(headers=headers(), code="stale", now_s=TIMESTAMP_S - 301),
        Forgery(headers=headers(webhook_signature=SIGNATURE.replace("v1,", "v2,")), code="mismatch"),
        Forgery(headers=headers(webhook_signature="v1,"), code="mismatch"),
        Forgery(headers=headers(webhook_signature="v1,x " * 16 + SIGNATURE), code="mismatch"),
    ],
    ids=lambda forgery: forgery.code,
)
def test_verify_when_anything_is_off_then_refused(forgery: Forgery) -> None:
    with pytest.raises(signing.SignatureRefused) as refused:
        signing.verify(secret=SECRET, headers=forgery.headers, body=forgery.body, now_s=forgery.now_s)

    assert refused.value.code == forgery.code


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "whsec_!!!", "whsec_" + "A" * 20])
def test_key_when_malformed_then_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(signing.SecretMalformed) as refused:
        signing.key(secret)

    assert not secret.removeprefix("whsec_") or secret.removeprefix("whsec_") not in str(refused.value)
