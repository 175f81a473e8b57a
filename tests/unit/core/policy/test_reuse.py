"""What makes two model calls equal, and how long one waits for the other."""

import random

import pytest

from heddle.core import plan
from heddle.core.policy import reuse


def test_key_when_inputs_are_equal_then_whatever_their_order_it_is_the_same() -> None:
    first = reuse.key(reuse.Reuse(), model="m", arguments={"a": 1, "b": [1.0, "é"]})
    second = reuse.key(reuse.Reuse(), model="m", arguments={"b": [1, "e\u0301"], "a": 1.0})

    assert first == second


@pytest.mark.parametrize(
    ("model", "revision", "arguments"),
    [("n", "1", {"a": 1}), ("m", "2", {"a": 1}), ("m", "1", {"a": 2}), ("m", "1", {"a": 1, "b": None})],
)
def test_key_when_model_revision_or_input_differ_then_so_does_it(
    model: str, revision: str, arguments: dict[str, int]
) -> None:
    known = reuse.key(reuse.Reuse(revision="1"), model="m", arguments={"a": 1})

    assert reuse.key(reuse.Reuse(revision=revision), model=model, arguments=arguments) != known


@pytest.mark.parametrize("arguments", [{"prompt": "sea"}, {"prompt": "sea", "seed": None}])
def test_key_when_what_makes_a_call_deterministic_is_missing_then_there_is_none(arguments: dict[str, str]) -> None:
    assert reuse.key(reuse.Reuse(needs=("seed",)), model="m", arguments=arguments) is None


def test_wait_when_it_lasts_then_looks_become_rarer_within_bounds() -> None:
    rng = random.Random(1)

    waits = [reuse.wait_s(waited_s=waited_s, rng=rng) for waited_s in (0.0, 4.0, 1_000.0)]

    assert reuse.WAIT_FIRST_S <= waits[0] <= 1.2 * reuse.WAIT_FIRST_S
    assert 1.0 <= waits[1] <= 1.2
    assert reuse.WAIT_MAX_S <= waits[2] <= 1.2 * reuse.WAIT_MAX_S


@pytest.mark.parametrize("wrong", [{"hours": 0.0}, {"hours": 9_000.0}, {"revision": "a b"}])
def test_reuse_when_out_of_range_then_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        reuse.Reuse(**wrong)  # type: ignore[arg-type]


def test_options_when_written_and_read_then_they_are_the_same() -> None:
    options = plan.CallOptions(reuse=reuse.Reuse(among=reuse.Among.ALL_TENANTS, hours=2, needs=("seed",), revision="3"))

    assert plan.CallOptions.from_json(options.as_json()) == options
