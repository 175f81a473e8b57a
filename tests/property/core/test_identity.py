"""Equal values have one form, whatever order, number type or Unicode form they came in."""

import json
import unicodedata
from typing import Any, Literal

import hypothesis
from hypothesis import strategies as st

from heddle.core import identity

LAW = hypothesis.settings(max_examples=60, derandomize=True, deadline=None)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
)


def _composed(value: Any) -> Any:
    """Give keys in form NFC, so that no two of one object are the same text."""
    if isinstance(value, dict):
        return {unicodedata.normalize("NFC", key): _composed(item) for key, item in value.items()}
    return [_composed(item) for item in value] if isinstance(value, list) else value


VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
).map(_composed)


def _rewritten(value: Any, form: Literal["NFC", "NFD"]) -> Any:
    """Give an equal value: keys backwards, texts decomposed, whole numbers as floats."""
    if isinstance(value, dict):
        return {unicodedata.normalize(form, key): _rewritten(value[key], form) for key in reversed(value)}
    if isinstance(value, list):
        return tuple(_rewritten(item, form) for item in value)
    if isinstance(value, str):
        return unicodedata.normalize(form, value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value


@LAW
@hypothesis.given(value=VALUES, form=st.sampled_from(["NFC", "NFD"]))
def test_a_value_written_another_way_has_the_same_form(value: Any, form: Literal["NFC", "NFD"]) -> None:
    assert identity.canonical(_rewritten(value, form)) == identity.canonical(value)


@LAW
@hypothesis.given(value=VALUES)
def test_the_form_is_json_of_an_equal_value_and_its_own_form(value: Any) -> None:
    written = identity.canonical(value)

    assert identity.canonical(json.loads(written)) == written


@LAW
@hypothesis.given(one=VALUES, other=VALUES)
def test_values_with_one_fingerprint_have_one_form(one: Any, other: Any) -> None:
    is_same = identity.fingerprint(one) == identity.fingerprint(other)

    assert is_same == (identity.canonical(one) == identity.canonical(other))


@LAW
@hypothesis.given(kind=TEXTS, name=TEXTS, value=VALUES)
def test_a_digest_is_sixteen_hex_digits_and_the_same_again(kind: str, name: str, value: Any) -> None:
    made = identity.digest(kind=kind, name=name, arguments=value)

    assert len(made) == 16
    assert int(made, 16) >= 0
    assert made == identity.digest(kind=kind, name=name, arguments=_rewritten(value, "NFD"))
