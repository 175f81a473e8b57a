"""The ``replicate`` adapter believes signed callbacks alone, and refuses options that are wrong."""

import json
from typing import Any

import pytest

from heddle.ports import provider
from heddle.providers import options, signing, transport
from heddle.providers.replicate import adapter, endpoint, pricing, wire
from tests.contract import replicate_replies as replicate


def signed(body: bytes) -> dict[str, str]:
    return signing.sign(secret=replicate.CALLBACK_SECRET, message_id="msg_1", timestamp_s=1_000, body=body)


def test_callback_when_signed_then_it_names_the_prediction_and_a_lost_send_may_wait_for_it() -> None:
    made = adapter.ReplicateProvider(replicate.config(), transport.Transport())
    bodies = [json.dumps(replicate.prediction("succeeded", home=home)).encode() for home in (replicate.HOME, "")]

    events = [made.verify_callback(headers=signed(body), body=body, now_s=1_100.0) for body in bodies]

    expected = provider.CallbackEvent(event_id="msg_1", is_verified=True, handle=replicate.handle(replicate.HOME))
    assert events == [expected, expected]
    assert made.capabilities.lookup_bound_s == 2_100


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'{"id": "../account"}',
        json.dumps(replicate.prediction("failed", home="https://evil.example")).encode(),
    ],
)
def test_callback_when_it_names_no_prediction_of_ours_then_no_handle(body: bytes) -> None:
    made = adapter.ReplicateProvider(replicate.config(), transport.Transport())

    assert made.verify_callback(headers=signed(body), body=body, now_s=1_100.0).handle is None


@pytest.mark.parametrize(("body", "now_s"), [(b"other", 1_000.0), (b"{}", 1_301.0), (b"{}", 699.0)])
def test_callback_when_forged_or_stale_then_refused(body: bytes, now_s: float) -> None:
    made = adapter.ReplicateProvider(replicate.config(), transport.Transport())

    with pytest.raises(provider.CallbackRefused):
        made.verify_callback(headers=signed(b"{}"), body=body, now_s=now_s)


def test_callback_when_no_secret_is_configured_then_an_unverified_hint_that_resolves_nothing() -> None:
    made = adapter.ReplicateProvider(replicate.config(callback_secret=None), transport.Transport())
    body = json.dumps(replicate.prediction("succeeded")).encode()

    event = made.verify_callback(headers={}, body=body, now_s=1.0)

    assert (event.is_verified, event.handle, made.capabilities.lookup_bound_s) == (False, None, 0.0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"secret": None}, "secret is missing"),
        ({"options": {}}, "exactly one of the three"),
        ({"options": {"model_name": "a/b", "deployment": "a/b"}}, "exactly one of the three"),
        ({"options": {"model_name": "a/../b"}}, "owner/name"),
        ({"options": {"version": "latest"}}, "64 hex digits"),
        ({"options": {"model_name": "a/b", "output_hosts": ["*"]}}, "output_hosts"),
        ({"options": {"model_name": "a/b", "wait_s": 61}}, "from 0 to 60 s"),
        ({"options": {"model_name": "a/b", "wait_s": 5}}, "below timeout_s, 5 s"),
        ({"options": {"model_name": "a/b", "hurry": True}}, "hurry is no option"),
        ({"callback_secret": "whsec_x"}, "callback_secret cannot be used"),
    ],
    ids=range(10),
)
def test_options_when_wrong_then_one_sentence_names_the_key(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(options.OptionRefused, match=sentence):
        endpoint.read_options(replicate.config(**changes))


@pytest.mark.parametrize(
    ("ordered", "told", "cost_nano_usd"),
    [
        ("black-forest-labs/flux-dev", "", 50_000_000),
        ("", "black-forest-labs/flux-dev", 50_000_000),
        ("black-forest-labs/flux-dev-lora", "", None),
        ("acme/relight", "black-forest-labs/flux-dev", None),
    ],
)
def test_price_when_the_whole_name_is_listed_then_by_the_picture_and_else_unpriced(
    ordered: str, told: str, cost_nano_usd: int | None
) -> None:
    body = json.dumps(replicate.prediction("succeeded", model=told)).encode()
    prediction = wire.read_prediction(body, home=replicate.HOME)

    assert pricing.cost_nano_usd(prediction, model_name=ordered, images=2) == cost_nano_usd
