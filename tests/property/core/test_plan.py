"""Whatever keys users choose, what is encoded is read back, and no value of theirs is taken for a call."""

from typing import Any

import hypothesis
from hypothesis import strategies as st

from heddle.core import artifact, plan
from heddle.core.policy import backoff, retry

LAW = hypothesis.settings(max_examples=60, derandomize=True, deadline=None)
KEYS = st.text("$acall", max_size=6) | st.sampled_from([plan.CALL, artifact.MARK, "$$call", "media_type"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
PLAIN = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=10
)
CALLS = st.integers(1, 9).map(lambda ordinal: {plan.CALL: [ordinal, []]})


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {plan.escape(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


ENCODED = st.recursive(
    LEAVES | CALLS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS.map(plan.escape), inner, max_size=3),
    max_leaves=10,
)


@LAW
@hypothesis.given(key=st.text(max_size=8) | KEYS)
def test_a_key_is_read_back_and_never_bears_a_mark(key: str) -> None:
    escaped = plan.escape(key)

    assert plan.unescape(escaped) == key
    assert escaped not in (plan.CALL, artifact.MARK)


@LAW
@hypothesis.given(value=PLAIN)
def test_a_users_own_value_holds_no_call_and_no_artifact_and_is_shown_as_he_wrote_it(value: Any) -> None:
    encoded = _escaped(value)

    assert list(plan.references(encoded)) == []
    assert list(plan.artifacts(encoded)) == []
    assert plan.resolve(encoded, lambda ordinal: f"no call {ordinal}") == encoded
    assert plan.public(encoded) == value


@LAW
@hypothesis.given(value=ENCODED, output=PLAIN.map(_escaped))
def test_resolving_asks_for_exactly_the_calls_that_are_referred_to_and_leaves_none(value: Any, output: Any) -> None:
    asked: list[int] = []

    def output_of(ordinal: int) -> Any:
        asked.append(ordinal)
        return output

    resolved = plan.resolve(value, output_of)

    assert asked == list(plan.references(value))
    assert list(plan.references(resolved)) == []


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    """List every part of a user's value with its path."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [(path, value), *[place for key, item in inner for place in _places(item, (*path, key))]]


@LAW
@hypothesis.given(value=PLAIN)
def test_every_part_of_an_output_can_be_taken_by_the_keys_the_user_knows(value: Any) -> None:
    encoded = _escaped(value)

    for path, part in _places(value):
        assert plan.project(encoded, list(path)) == _escaped(part)


@LAW
@hypothesis.given(
    options=st.builds(
        plan.CallOptions,
        timeout_s=st.none() | st.floats(0.1, 86_400),
        retry=st.builds(
            retry.RetryOptions,
            max_attempts=st.integers(1, 20),
            retry_after_max_s=st.floats(0, 604_800),
            waits=st.builds(backoff.BackoffOptions, cap_s=st.floats(20, 3600)),
        ),
        detach=st.booleans(),
        memory_bytes=st.none() | st.integers(1, 2**50),
        delay_s=st.none() | st.floats(0, 1e6),
    )
)
def test_options_are_read_back_as_they_were_stored(options: plan.CallOptions) -> None:
    assert plan.CallOptions.from_json(options.as_json()) == options
