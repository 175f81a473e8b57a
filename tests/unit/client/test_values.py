"""What the client decides before the store is asked: money, tokens, keys, values."""

import datetime
import uuid

import hypothesis
import pytest
from hypothesis import strategies

from heddle.client import keys, money, tokens, values
from heddle.core import artifact, ids
from tests.unit.api import fake_doors

ATTEMPT = ids.AttemptId(run_id=uuid.UUID(int=7), ordinal=3, number=2)


@hypothesis.given(strategies.integers(0, money.USD_MAX * money.NANO_PER_USD))
def test_money_when_written_and_read_then_the_same(nano: int) -> None:
    assert money.nano_usd(money.usd(nano)) == nano


@pytest.mark.parametrize(
    ("nano", "text"), [(0, "0.00"), (1, "0.000000001"), (1_500_000_000, "1.50"), (-40_000_000, "-0.04")]
)
def test_money_when_written_then_two_to_nine_decimals(nano: int, text: str) -> None:
    assert money.usd(nano) == text


@pytest.mark.parametrize("text", ["", "x", "-1", "NaN", "Infinity", "0.0000000001", "1000001", "1e400"])
def test_money_when_it_is_none_then_refused(text: str) -> None:
    with pytest.raises(money.NotMoney):
        money.nano_usd(text)


def test_token_when_made_by_us_then_it_names_its_attempt() -> None:
    token = tokens.callback_token(secret_key="s", attempt_id=ATTEMPT)

    assert tokens.read_callback_token(secret_key="s", token=token) == ATTEMPT


@hypothesis.given(strategies.integers(0, 200), strategies.characters())
def test_token_when_one_character_differs_then_refused(place: int, letter: str) -> None:
    token = tokens.callback_token(secret_key="s", attempt_id=ATTEMPT)
    index = place % len(token)
    hypothesis.assume(token[index] != letter)

    with pytest.raises(tokens.TokenRefused):
        tokens.read_callback_token(secret_key="s", token=token[:index] + letter + token[index + 1 :])


@pytest.mark.parametrize("token", ["", ".", "a.b.c", "x" * 10_000, "\x00", "é.é"])
def test_token_when_it_is_none_then_refused(token: str) -> None:
    with pytest.raises(tokens.TokenRefused):
        tokens.read_callback_token(secret_key="s", token=token)


def test_token_when_there_is_no_secret_then_none_is_made() -> None:
    with pytest.raises(ValueError, match="HEDDLE_SECRET_KEY"):
        tokens.callback_token(secret_key="", attempt_id=ATTEMPT)


def test_keys_when_made_then_of_one_form_and_never_twice() -> None:
    made = {keys.new_key() for _ in range(50)}

    assert len(made) == 50
    assert all(keys.is_key(key) and len(key) == 46 for key in made)


@pytest.mark.parametrize(
    ("held", "asked", "answer"),
    [("read", "write", False), ("write", "read", True), ("admin", "write", True), ("write", "admin", False)],
)
def test_scopes_when_asked_then_larger_ones_include_smaller(held: str, asked: str, answer: bool) -> None:
    assert keys.may(frozenset({held}), asked) is answer


def test_keyring_when_a_key_is_revoked_then_it_ends_within_five_seconds() -> None:
    doors, clock = fake_doors.FakeDoors(), [0.0]
    ring = keys.Keyring(doors, monotonic_s=lambda: clock[0], now=lambda: datetime.datetime.now(datetime.UTC))
    view = doors.create_api_key(tenant="a", name="k", key_hash="h", scopes=frozenset({"read"}), expires_at=None)

    assert ring.find("h") == view
    doors.keys.clear()
    clock[0] = 4.9
    assert ring.find("h") == view
    clock[0] = 5.1
    assert ring.find("h") is None


def test_keyring_when_a_key_is_new_then_an_earlier_refusal_is_not_remembered() -> None:
    doors = fake_doors.FakeDoors()
    ring = keys.Keyring(doors, monotonic_s=lambda: 0.0, now=lambda: datetime.datetime.now(datetime.UTC))

    assert ring.find("h") is None
    view = doors.create_api_key(tenant="a", name="k", key_hash="h", scopes=frozenset({"read"}), expires_at=None)

    assert ring.find("h") == view


json_values = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(max_size=5),
    lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(strategies.text(max_size=4), inner),
    max_leaves=20,
)


@hypothesis.given(json_values)
def test_values_when_json_then_problems_only_where_text_cannot_be_stored(value: object) -> None:
    found = values.problems(value, field="input")

    assert bool(found) == any(bad in text for bad in ("\x00",) for text in _texts(value))


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *_texts(item))]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


def test_values_when_a_million_deep_then_one_problem_and_no_recursion() -> None:
    value: object = 1
    for _ in range(1_000_000):
        value = [value]

    found = values.problems(value, field="input")
    # Freeing it one level after the other; Python's own recursion would not survive it either way.
    while isinstance(value, list):
        value = value.pop()

    assert len(found) == 1
    assert "nested more than" in found[0].message


def test_values_when_not_json_then_the_path_is_named() -> None:
    (problem,) = values.problems({"a": [1, {"b": object()}]}, field="input")

    assert problem.field == "input.a[1].b"


def test_references_when_artifacts_are_inside_then_with_their_paths() -> None:
    reference = artifact.Artifact(sha256="0" * 64, media_type="image/png", size_bytes=1)

    assert values.references({"a": [reference.as_json()]}, field="input") == [("input.a[0]", reference)]
