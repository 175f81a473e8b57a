"""However a tier stands, its weights add up to one, the best have all but what is for exploring, and nothing flaps."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from heddle.core.policy import objective
from heddle.core.policy.objective import Candidate, Objective

OPTIONS = objective.ObjectiveOptions()
WANTED = st.sampled_from([each for each in Objective if each is not Objective.WEIGHTS])
TIMES = st.floats(0.01, 1_000)


@st.composite
def tiers(draw: st.DrawFn) -> list[Candidate]:
    """Draw a tier of two to six routes."""
    made = []
    for number in range(draw(st.integers(2, 6))):
        tried = draw(st.integers(0, 5_000))
        made.append(
            Candidate(
                endpoint_id=number,
                weight=draw(st.floats(0.001, 1_000)),
                price_nano_usd=draw(st.integers(0, 10**9)),
                tried=tried,
                bad=draw(st.integers(0, tried)),
                ambiguous=draw(st.integers(0, tried)),
                cost_per_accepted_nano_usd=draw(st.none() | st.floats(0, 1e9)),
                latency_p95_s=draw(st.none() | TIMES),
                latency_max_s=draw(st.none() | TIMES),
                is_open=draw(st.booleans()),
                is_best=draw(st.booleans()),
                was_slow=draw(st.booleans()),
            )
        )
    return made


@given(WANTED, tiers())
def test_share_when_it_decides_then_weights_add_up_and_every_route_is_explored(
    wanted: Objective, tier: list[Candidate]
) -> None:
    found = objective.share(OPTIONS, wanted, tier)

    weights = {} if found is None else found.weights
    assert found is None or abs(sum(weights.values()) - 1) < 1e-9
    assert found is None or (set(weights) == {each.endpoint_id for each in tier} and min(weights.values()) > 0)
    assert found is None or sum(weights[each] for each in found.best) >= 1 - OPTIONS.explore - 1e-9


@given(WANTED, tiers())
def test_share_when_nothing_has_changed_then_the_same_routes_stay_the_best(
    wanted: Objective, tier: list[Candidate]
) -> None:
    first = objective.share(OPTIONS, wanted, tier)
    again = [
        dataclasses.replace(
            each,
            is_best=first is not None and each.endpoint_id in first.best,
            was_slow=first is not None and each.endpoint_id in first.slow,
        )
        for each in tier
    ]

    second = objective.share(OPTIONS, wanted, again)
    third = objective.share(OPTIONS, wanted, again)

    assert (first is None) == (second is None)
    assert second == third
    assert first is None or second is None or first.slow <= second.slow
