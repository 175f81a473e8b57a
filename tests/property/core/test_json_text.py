"""Text written by encoders made once is what the standard library writes."""

import json
import math

import hypothesis
import pytest
from hypothesis import strategies

from heddle.core import json_text

SCALARS = strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text()
VALUES = strategies.recursive(
    SCALARS,
    lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(strategies.text(), inner, max_size=4),
    max_leaves=20,
)
WRITERS = {sort_keys: json_text.writer(sort_keys=sort_keys) for sort_keys in (False, True)}


@hypothesis.given(value=VALUES, sort_keys=strategies.booleans())
def test_text_when_a_value_is_written_then_it_is_the_standard_librarys(value: object, sort_keys: bool) -> None:
    expected = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)

    assert WRITERS[sort_keys](value) == expected


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object()])
def test_text_when_a_value_is_no_json_then_it_is_refused_and_the_next_is_written(value: object) -> None:
    write = WRITERS[False]

    with pytest.raises(TypeError, match="is not JSON serializable"):
        write({"deep": [value]})

    assert write([math.inf, "ü"]) == '[Infinity,"ü"]'
