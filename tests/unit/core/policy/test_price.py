"""What a call costs by list price and usage, to the nano-dollar and never guessed."""

import pytest

from heddle.core.policy import price

TOKENS = price.Price(input_per_mtok=2_500_000_000, cached_input_per_mtok=1_250_000_000, output_per_mtok=10_000_000_000)


def test_cost_when_tokens_are_told_then_each_kind_has_its_price() -> None:
    usage = price.Usage(input_tokens=1_000, cached_input_tokens=400, output_tokens=10)

    assert price.cost_nano_usd(TOKENS, usage) == 600 * 2_500 + 400 * 1_250 + 10 * 10_000


def test_cost_when_cached_tokens_have_no_price_then_they_cost_what_others_do() -> None:
    usage = price.Usage(input_tokens=10, cached_input_tokens=4)

    assert price.cost_nano_usd(price.Price(input_per_mtok=1_000_000), usage) == 10


def test_cost_when_a_part_is_finer_than_a_nano_dollar_then_it_is_rounded_up() -> None:
    assert price.cost_nano_usd(price.Price(output_per_mtok=1), price.Usage(output_tokens=1)) == 1


def test_cost_when_of_calls_images_and_seconds_then_they_add_up() -> None:
    each = price.Price(call=1, image=20, second=300)

    assert price.cost_nano_usd(each, price.Usage(images=2, seconds=1.5)) == 1 + 40 + 450


@pytest.mark.parametrize("usage", [price.Usage(), price.Usage(input_tokens=1), price.Usage(output_tokens=1)])
def test_cost_when_usage_is_not_told_then_nothing_is_guessed(usage: price.Usage) -> None:
    assert price.cost_nano_usd(TOKENS, usage) is None


def test_cost_when_the_usage_cannot_be_true_then_the_call_is_unpriced() -> None:
    assert price.cost_nano_usd(TOKENS, price.Usage(input_tokens=10**12, output_tokens=10**12)) is None


def test_usage_when_below_zero_then_refused() -> None:
    with pytest.raises(ValueError, match="images"):
        price.Usage(images=-1)
