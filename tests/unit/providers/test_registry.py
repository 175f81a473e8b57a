"""Providers are built from configured endpoints; each mistake is one sentence without a secret in it."""

import dataclasses

import pytest

from heddle.config import deployment
from heddle.core import attempt
from heddle.providers import excerpts, registry

ENDPOINT = deployment.Endpoint(name="there", adapter="http", url="http://127.0.0.1:9", scopes=("there",))


def refusal(environ: dict[str, str] | None = None, **changes: object) -> str:
    endpoint = dataclasses.replace(ENDPOINT, **changes)  # type: ignore[arg-type]
    with pytest.raises(registry.EndpointRefused) as refused:
        registry.build(endpoint, environ or {})
    return str(refused.value)


def test_build_when_the_adapter_is_unknown_then_the_known_ones_are_listed() -> None:
    known = ", ".join(sorted(registry.ADAPTERS))

    assert (
        refusal(adapter="htpp")
        == f"[endpoints.there] adapter is 'htpp'; known are: {known}; one of your own is written module:Class"
    )


@pytest.mark.parametrize(
    ("adapter", "trouble"),
    [
        ("no_such_module.here:Glow", "no_such_module.here cannot be imported: No module named 'no_such_module'"),
        ("examples.providers.glow:Glimmer", "examples.providers.glow has no Glimmer"),
        ("examples.providers.glow:__doc__", "examples.providers.glow has no __doc__"),
    ],
)
def test_build_when_an_adapter_of_ones_own_is_not_there_then_said_which_part(adapter: str, trouble: str) -> None:
    assert refusal(adapter=adapter) == f"[endpoints.there] adapter is {adapter!r}, and {trouble}"


def test_build_when_an_adapter_of_ones_own_is_named_then_made_and_held_to_the_same_rules() -> None:
    mine = dataclasses.replace(ENDPOINT, adapter="examples.providers.glow:GlowProvider", secret="env:KEY")

    made = registry.build(dataclasses.replace(mine, price_nano_usd=1), {"KEY": "k"})

    assert made.capabilities.idempotency is attempt.IdempotencyClass.A
    with pytest.raises(registry.EndpointRefused, match="mood is no option"):
        registry.build(dataclasses.replace(mine, options={"mood": "x"}), {"KEY": "k"})


def deployed(**changes: object) -> deployment.Deployment:
    endpoint = dataclasses.replace(ENDPOINT, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(deployment.EMPTY, endpoints={endpoint.name: endpoint})


@pytest.mark.parametrize(
    "changes",
    [
        {"adapter": "htpp"},
        {"adapter": "no_such_module:Glow"},
        {"timeout_s": -1.0},
        {"secret": "hunter2"},
        {"options": {"mood": "x"}},
    ],
)
def test_check_when_no_worker_could_use_an_endpoint_then_it_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(registry.EndpointRefused):
        registry.check(deployed(**changes), {})


def test_check_when_only_this_machine_lacks_something_then_it_passes() -> None:
    registry.check(deployed(secret="env:COMES_LATER"), {})


@pytest.mark.parametrize(
    ("url", "options", "is_list_priced", "is_warned"),
    [
        ("https://models.example.com/v1", {}, True, True),
        ("https://models.example.com/v1", {"list_prices": True}, True, False),
        ("https://models.example.com/v1", {"list_prices": False}, True, False),
        ("https://models.example.com/v1", {}, False, False),
        ("https://api.openai.com/v1", {}, True, False),
        ("http://[::1", {}, True, False),
    ],
)
def test_warnings_when_charges_would_silently_be_estimates_then_told_with_what_to_write(
    url: str, options: dict[str, object], is_list_priced: bool, is_warned: bool
) -> None:
    given = dataclasses.replace(
        ENDPOINT, adapter="openai", url=url, options=options, is_list_priced=is_list_priced, price_nano_usd=1
    )
    told = registry.warnings(dataclasses.replace(deployment.EMPTY, endpoints={"there": given}))

    assert [each.startswith("[endpoints.there] has price") and "list_prices = true" in each for each in told] == (
        [True] if is_warned else []
    )


@pytest.mark.parametrize("adapter", sorted(registry.ADAPTERS))
def test_build_when_the_address_cannot_be_read_then_it_is_refused_in_one_sentence(adapter: str) -> None:
    assert refusal({"KEY": "k"}, adapter=adapter, url="http://[::1", secret="env:KEY").startswith("[endpoints.there] ")


def test_build_when_the_secret_is_absent_then_the_variable_is_named() -> None:
    sentence = refusal(secret="env:THERE_KEY")

    assert sentence == "[endpoints.there] secret is env:THERE_KEY, and the environment has no THERE_KEY; set it"


@pytest.mark.parametrize("value", ["hush\n", " hush", "hu\x00sh", "hüsh"])
def test_build_when_the_secret_cannot_be_a_header_then_its_value_is_not_shown(value: str) -> None:
    sentence = refusal({"KEY": value}, secret="env:KEY")

    assert "KEY" in sentence
    assert "sh" not in sentence.replace("[endpoints", "")


@pytest.mark.parametrize(
    "url", ["", "there", "ftp://h", "http://", "http://h:99999", "http://u:hush@h", "http://h?k=hush"]
)
def test_build_when_the_address_is_wrong_then_refused_without_showing_it(url: str) -> None:
    sentence = refusal(url=url)

    assert "url must" in sentence
    assert "hush" not in sentence


@pytest.mark.parametrize("timeout_s", [0, -1, 1e9, "60"])
def test_build_when_the_timeout_is_out_of_range_then_refused(timeout_s: object) -> None:
    assert "timeout_s" in refusal(timeout_s=timeout_s)


def test_build_when_a_price_is_given_and_calls_are_free_then_refused() -> None:
    assert "paid = true" in refusal(price_nano_usd=1)


def test_build_when_paid_then_capabilities_say_so() -> None:
    made = registry.build(dataclasses.replace(ENDPOINT, price_nano_usd=1, options={"paid": True}), {})

    assert made.capabilities.is_paid
    assert made.capabilities.idempotency is attempt.IdempotencyClass.C


def test_build_when_the_simulator_has_no_key_then_refused() -> None:
    assert "secret is missing" in refusal(adapter="simulator")


def test_build_when_the_callback_secret_is_malformed_then_refused_without_showing_it() -> None:
    environ = {"KEY": "k", "HOOK": "whsec_c2hvcnQ="}

    sentence = refusal(environ, adapter="simulator", secret="env:KEY", callback_secret="env:HOOK")

    assert "callback_secret" in sentence
    assert "c2hvcnQ" not in sentence


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "(empty body)"),
        (b"a\n\x00 b\xe2\x80\xaec", "a b c"),
        (b"key opensesame!", "key [secret]!"),
        (b"Authorization: Bearer abc.def-ghi", "Authorization: [secret]"),
        (b"see hd_0123456789abcdef", "see [secret]"),
        (b"http://h/x?a=1&X-Amz-Signature=abcdef", "http://h/x?a=1[secret]"),
        (b"x" * 1_000, "x" * 300 + "…"),
    ],
)
def test_excerpt_when_quoted_then_short_plain_and_without_secrets(body: bytes, expected: str) -> None:
    assert excerpts.excerpt(body, secrets=("opensesame", None, "")) == expected


def test_declarations_when_listed_then_every_adapter_has_one_with_a_source_and_its_day() -> None:
    assert list(registry.DECLARATIONS) == list(registry.ADAPTERS)
    assert [name for name, each in registry.DECLARATIONS.items() if "(read 20" not in each.source] == []
    assert [name for name, each in registry.DECLARATIONS.items() if not each.operations or not each.guarantee] == []
