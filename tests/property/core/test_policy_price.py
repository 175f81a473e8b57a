"""What a call reserves that says what it uses is what the list asks for that use, to the nano-dollar."""

import hypothesis
from hypothesis import strategies as st

from heddle.core.policy import price

LAW = hypothesis.settings(max_examples=200, derandomize=True, deadline=None)
RATES = st.integers(min_value=0, max_value=10**9)
PRICES = st.builds(price.Price, call=RATES, input_per_mtok=RATES, output_per_mtok=RATES, image=RATES, second=RATES)
TOKENS = st.integers(min_value=1, max_value=10**7)
IMAGES = st.none() | st.integers(min_value=1, max_value=1_000)


@LAW
@hypothesis.given(
    listed=PRICES, tokens=TOKENS, output_tokens=TOKENS, images=IMAGES, own_tokens=TOKENS, own_images=IMAGES
)
def test_price_of_a_call_when_it_says_what_it_uses_then_it_is_the_list_s_for_that(
    listed: price.Price, tokens: int, output_tokens: int, images: int | None, own_tokens: int, own_images: int | None
) -> None:
    usage = price.estimated(tokens=tokens, output_tokens=output_tokens, images=images, seconds=2.5)
    own = price.estimated(tokens=own_tokens, output_tokens=output_tokens, images=own_images, seconds=2.5)
    usual = price.expected(listed, usage)
    assert usual is not None

    assert price.of_call(usual, usage=usage, own=own) == price.cost_nano_usd(listed, own)
    assert price.of_call(usual, usage=usage, own=usage) == usual.nano_usd


@LAW
@hypothesis.given(tokens=TOKENS, output_tokens=TOKENS)
def test_tokens_of_a_call_when_some_come_back_then_both_parts_are_all_of_them(tokens: int, output_tokens: int) -> None:
    used = price.estimated(tokens=tokens, output_tokens=output_tokens, images=None)

    assert used.input_tokens is not None
    assert used.output_tokens is not None
    assert used.input_tokens + used.output_tokens == tokens
