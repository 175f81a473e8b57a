"""Prove that secrets are found by name and by shape, and that ordinary words stay."""

import pytest

from heddle.telemetry import redaction


@pytest.mark.parametrize(
    "name",
    ["authorization", "Authorization", "api_key", "apiKey", "X-API-Key", "callback_token", "accessToken", "Set-Cookie",
     "db_password", "client_secret", "webhook-signature", "AWS_SECRET_ACCESS_KEY", "private_key"],
)  # fmt: skip
def test_name_of_a_secret_is_known(name: str) -> None:
    assert redaction.redact({name: "hunter2"}) == {name: redaction.REDACTED}


@pytest.mark.parametrize(
    "name", ["max_tokens", "input_tokens", "idempotency_key", "key", "secretary", "tokenizer", "run_id"]
)
def test_ordinary_name_is_left(name: str) -> None:
    assert redaction.redact({name: "ordinary"}) == {name: "ordinary"}


def test_count_under_a_secret_name_is_left() -> None:
    assert redaction.redact({"token": 12, "password": None}) == {"token": 12, "password": None}


@pytest.mark.parametrize(
    "text",
    [
        "key hd_live_CANARY0123456789abcdef was used",
        "Authorization: Bearer CANARY.abc-def_ghi",
        "authorization=Basic CANARYdXNlcjpwYXNz",
        "postgres://heddle:CANARY@db/heddle",
        "postgres://heddle:CANARY@@db/heddle",
        "https://bucket.example/a.png?X-Amz-Signature=CANARY&X-Amz-Date=1",
        "https://bucket.example/a.png?x=1&sig=CANARY",
        "https://api.example/v1?api_key=CANARY#top",
        "POST /callbacks/relight/CANARY0123 HTTP/1.1",
        "whsec_CANARYCANARYCANARY",
        "sk-CANARYCANARYCANARY",
        "{'password': 'CANARY'}",
        '{"api_key": "CANARY"}',
        "Cookie: CANARY",
        "Authorization: Key CANARY-0123:CANARY",
        "{'Authorization': 'Key CANARY-0123:CANARY'}",
        "authorization: Token CANARY0123",
        "hf_CANARYCANARY",
        "-----BEGIN PRIVATE KEY-----\nCANARYCANARY+/\nAAAA\n-----END PRIVATE KEY-----\n",
        r"-----BEGIN RSA PRIVATE KEY-----\nCANARYCANARY+/\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        "rpa_CANARYCANARY",
        "ya29.CANARY-CANARY",
        "AIzaCANARYCANARYCANARY",
        "eyJhbGciOiJI.CANARYCANARY.signature",
    ],
)
def test_secret_in_a_text_is_taken_out(text: str) -> None:
    redacted = redaction.redact_text(text)

    assert "CANARY" not in redacted
    assert redaction.REDACTED in redacted


@pytest.mark.parametrize(
    "text",
    [
        "step 3 of run 0192 failed: throttled, back in 2 s",
        "https://api.example/v1/runs?limit=10&cursor=abc",
        "http://127.0.0.1:8000/healthz",
        "mail to someone@example.com",
        "max_tokens=100",
    ],
)
def test_ordinary_text_is_left(text: str) -> None:
    assert redaction.redact_text(text) == text


def test_nested_values_are_searched() -> None:
    value = {"request": {"headers": [{"authorization": "x"}, "Bearer CANARY1"]}, "body": b"CANARY"}

    assert "CANARY" not in str(redaction.redact(value))


def test_size_is_bounded_however_large_the_value() -> None:
    deep: object = "end"
    for _ in range(50):
        deep = [deep]

    redacted = redaction.redact({"long": "a" * 1_000_000, "wide": list(range(10_000)), "deep": deep})

    assert len(str(redacted)) < 30_000


@pytest.mark.parametrize("before", range(0, 40, 7))
def test_secret_at_a_cut_is_not_left_in_part(before: int) -> None:
    text = (
        "a " * 4090 + "b" * before + " Bearer CANARYCANARYCANARYCANARY " + "c " * 9000 + "Bearer CANARY1 " + "d " * 4090
    )

    assert "CANARY" not in redaction.redact_text(text)


def test_value_that_cannot_be_written_does_not_lose_the_line() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    assert redaction.redact({"a": Broken()}) == {"a": "[Broken that cannot be written: RuntimeError]"}
