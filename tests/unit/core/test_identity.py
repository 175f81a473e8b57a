"""One form for equal values, and the digests that are stored: golden values hold old journals to new code."""

import math
from typing import Any

import pytest

from heddle.core import identity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"seed": 1.0}, {"seed": 1}),
        ({"seed": -0.0}, {"seed": 0}),
        ((1, 2), [1, 2]),
        ("caf\u00e9", "cafe\u0301"),
        ({"caf\u00e9": 1}, {"cafe\u0301": 1}),
        ({"deep": [{"x": 1e3}]}, {"deep": [{"x": 1000}]}),
    ],
)
def test_fingerprint_when_values_are_equal_then_it_is_equal(one: Any, other: Any) -> None:
    assert identity.fingerprint(one) == identity.fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [2, 1]),
        (1, "1"),
        (1, True),
        (0, False),
        (None, "null"),
        (0.1, 0.2),
        ({}, []),
        ({"a": None}, {}),
        ("a", "A"),
        ("ﬁ", "fi"),
    ],
)
def test_fingerprint_when_values_differ_then_it_differs(one: Any, other: Any) -> None:
    assert identity.fingerprint(one) != identity.fingerprint(other)


def test_canonical_then_keys_are_sorted_and_nothing_is_escaped_that_need_not_be() -> None:
    assert identity.canonical({"b": [1.0, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'


def test_fingerprint_then_its_value_is_the_one_that_is_stored() -> None:
    stored = "f8f17faab95c024891d173fa43442b0e52007736a1f36715ac721ab22deeefc5"

    assert identity.fingerprint({"b": [1.0, "é"], "a": None}) == stored


def test_digest_then_its_value_is_the_one_that_is_journalled() -> None:
    made = identity.digest(kind="model", name="relight", arguments={"scene": "beach", "seed": 1})

    assert made == "cd29738a800b4461"


def test_digest_when_kind_name_or_arguments_change_then_it_changes() -> None:
    made = {
        identity.digest(kind="model", name="relight", arguments={"seed": 1}),
        identity.digest(kind="step", name="relight", arguments={"seed": 1}),
        identity.digest(kind="model", name="segment", arguments={"seed": 1}),
        identity.digest(kind="model", name="relight", arguments={"seed": 2}),
    }

    assert len(made) == 4


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"shots": [{"image": b"png"}]}, r"^shots\[0\]\.image is a bytes, which cannot be stored"),
        ({"scores": [0.5, math.nan]}, r"^scores\[1\] is nan, which JSON cannot carry"),
        ({"limit": math.inf}, r"^limit is inf, which JSON cannot carry"),
        ({"sizes": {3: "small"}}, r"^sizes has the key 3; keys are strings"),
        ({1, 2}, r"^the value is a set, which cannot be stored"),
        ({"prompt": "\ud83d"}, r"^prompt holds half of a surrogate pair"),
        ({"prompts": {"\ud83d": 1}}, r"^prompts holds half of a surrogate pair"),
        ({"map": {"caf\u00e9": 1, "cafe\u0301": 2}}, r"^map has two keys that are the same text"),
    ],
)
def test_canonical_when_a_value_is_no_json_then_its_place_is_named(value: Any, sentence: str) -> None:
    with pytest.raises(identity.NotJson, match=sentence):
        identity.canonical(value)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_canonical_when_nested_64_deep_then_it_is_written() -> None:
    assert identity.canonical(_nested(64)) == "[" * 64 + "1" + "]" * 64


def test_canonical_when_nested_65_deep_then_it_is_refused() -> None:
    with pytest.raises(identity.NotJson, match="nested more than 64 deep"):
        identity.canonical(_nested(65))


def test_canonical_when_a_value_holds_itself_then_it_is_refused() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(identity.NotJson, match="nested more than 64 deep"):
        identity.canonical(value)
