"""Promises of the store about calls at endpoints with a price list that say what they use; see ``store_suite``."""

import dataclasses
import random
from collections.abc import Sequence

import pytest

from heddle.core import plan
from heddle.core.policy import price as price_policy
from tests.contract.store_money_suite import marked, told
from tests.contract.store_suite import started
from tests.races import scene
from tests.races.scene import House, call, deployment, suspended

LISTED = price_policy.Price(call=7, image=40_000, input_per_mtok=2_500_001, output_per_mtok=10_000_003, second=11)
MODEL = deployment.Model(name="sent", tokens=3_000, output_tokens=1_000, images=2, seconds=1.5)


def own_price(options: plan.CallOptions, model: deployment.Model = MODEL) -> int:
    """Price a call by the list, from what it says itself and, where it says nothing, from what its model says."""
    cost = price_policy.cost_nano_usd(
        LISTED,
        price_policy.estimated(
            tokens=options.tokens or model.tokens,
            output_tokens=model.output_tokens,
            images=options.images or model.images,
            seconds=model.seconds,
        ),
    )
    assert cost is not None
    return cost


def deploy_listed(house: House, model: deployment.Model = MODEL, *, endpoints: Sequence[str] = ("one",)) -> None:
    """Give a model endpoints that go by a price list, each after the one before it."""
    usage = price_policy.estimated(
        tokens=model.tokens, output_tokens=model.output_tokens, images=model.images, seconds=model.seconds
    )
    listed = price_policy.expected(LISTED, usage)
    assert listed is not None
    house.deploy(
        [dataclasses.replace(scene.endpoint(name, price_nano_usd=0), is_list_priced=True) for name in endpoints],
        [deployment.Route(model="sent", endpoint=name, tier=tier) for tier, name in enumerate(endpoints)],
        scopes=[deployment.Scope(name=name, concurrency=50) for name in endpoints],
        models=[model],
        tenants=[deployment.Tenant(name="default")],  # without the budget that another test may have given it
        prices={("sent", name): listed for name in endpoints},
    )


class ListedSuite:
    """What becomes of money that a price list asks for."""

    async def test_mark_sending_when_calls_say_what_they_use_then_each_reserves_its_own_price_and_the_books_balance(
        self, house: House
    ) -> None:
        deploy_listed(house)
        chance = random.Random(20_261_130)
        asked = [
            plan.CallOptions(
                tokens=chance.choice((None, chance.randint(1, 2_000), chance.randint(1, 10**9))),
                images=chance.choice((None, 1, chance.randint(1, 1_000))),
            )
            for _ in range(20)
        ]
        _, worker = await started(
            house,
            *(call(number, "model", "sent", options=options) for number, options in enumerate(asked, 1)),
            ending=suspended(*range(1, len(asked) + 1)),
        )
        items = sorted(await house.claim_models(worker, "sent"), key=lambda item: item.ordinal)
        assert await marked(house, *items) == [None] * len(asked)
        reserved = [amount for kind, amount in house.books() if kind == "reserve"]

        await house.settle(*(told(item, chance.choice((None, 0, 5, 10**6, 10**9))) for item in items))

        total = {kind: sum(each for what, each in house.books() if what == kind) for kind, _ in house.books()}
        assert reserved == [own_price(options) for options in asked]
        assert total["reserve"] == total["charge"] + total["release"]

    @pytest.mark.parametrize("model", [MODEL, dataclasses.replace(MODEL, images=None, tokens=500)])
    async def test_settle_when_nobody_told_what_a_call_cost_then_it_is_what_the_call_said_it_uses(
        self, house: House, model: deployment.Model
    ) -> None:
        deploy_listed(house, model)
        options = plan.CallOptions(images=7, tokens=40_001)
        _, worker = await started(house, call(1, "model", "sent", options=options), ending=suspended(1))
        (item,) = await house.claim_models(worker, "sent")
        await marked(house, item)

        await house.settle(told(item, None))

        price = own_price(options, model)
        assert house.books() == [("charge", price), ("reserve", price)]

    async def test_claim_when_a_call_says_what_it_uses_then_its_price_is_told_also_to_who_asks_after_it(
        self, house: House
    ) -> None:
        deploy_listed(house)
        options = plan.CallOptions(images=7, tokens=40_001)
        _, worker = await started(house, call(1, "model", "sent", options=options), ending=suspended(1))

        (sent,) = await house.claim_models(worker, "sent")
        await marked(house, sent)
        await house.settle(scene.accepted(sent, delay_s=0.0))
        house.due_now()
        await house.pump(worker)
        (asked,) = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")

        assert (sent.price_nano_usd, asked.price_nano_usd) == (own_price(options), own_price(options))
