"""What an operator says of a call whose outcome nobody knows: done, failed, to be made again, or only closed."""

import uuid

import pytest

from heddle.core import run
from heddle.ports import operators
from heddle.store import statements
from tests.integration.test_operators import ACTOR, a_call, ask, deploy, house
from tests.races import fixtures, scene

__all__ = ["house"]
pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house


async def unknown_call(house: scene.House) -> uuid.UUID:
    deploy(house)
    worker = await house.worker()
    run_id = await a_call(house, worker)
    (sent,) = await house.claim_models(worker, "paint")
    await house.settle(scene.unsure(sent, verdict="bury"))
    assert house.states(run_id) == {1: "unknown"}
    return run_id


async def by_hand(run_id: uuid.UUID, verdict: str) -> None:
    await ask("settle_unknown", run_id=run_id, ordinal=1, verdict=verdict, output=None, cost_nano_usd=None, actor=ACTOR)


async def test_settle_when_the_operator_knows_it_was_done_then_the_run_goes_on_with_the_output(
    house: scene.House,
) -> None:
    run_id = await unknown_call(house)

    await ask(
        "settle_unknown", run_id=run_id, ordinal=1, verdict="done", output={"at": 1}, cost_nano_usd=7, actor=ACTOR
    )

    view = await house.shown(run_id)
    assert (view.state, view.output, view.cost_nano_usd) == (run.RunState.SUCCEEDED, [{"at": 1}], 7)
    assert house.value("select state from heddle_attempt where run_id = %s", run_id) == "done"
    assert house.value("select action from heddle_audit order by id desc limit 1") == "settle"


async def test_settle_when_the_operator_says_failed_then_the_run_fails(house: scene.House) -> None:
    run_id = await unknown_call(house)

    await ask(
        "settle_unknown", run_id=run_id, ordinal=1, verdict="failed", output=None, cost_nano_usd=None, actor=ACTOR
    )

    assert house.state(run_id) == "failed"


async def test_settle_when_the_operator_says_retry_then_it_is_sent_under_a_new_number(house: scene.House) -> None:
    run_id = await unknown_call(house)
    worker = await house.worker()

    await by_hand(run_id, "retry")

    house.due_now()
    await house.pump(worker)
    (again,) = await house.claim_models(worker, "paint")
    assert again.number == 2
    await house.settle(scene.done(again))
    assert house.state(run_id) == "succeeded"


async def test_settle_when_the_first_result_comes_after_a_retry_by_hand_then_the_call_is_not_paid_again(
    house: scene.House,
) -> None:
    deploy(house)
    worker = await house.worker()
    run_id = await a_call(house, worker)
    (sent,) = await house.claim_models(worker, "paint")
    await house.store.mark_sending(calls=[(sent, "digest")])
    await house.settle(scene.unsure(sent, verdict="bury"))
    await by_hand(run_id, "retry")

    await house.settle(scene.done(sent, cost_nano_usd=7))

    house.due_now()
    await house.pump(worker)
    view = await house.shown(run_id)
    assert (view.state, view.output, view.cost_nano_usd) == (run.RunState.SUCCEEDED, ["ok"], 7)
    assert await house.claim_models(worker, "paint") == []
    assert sum(amount for kind, amount in house.books() if kind in ("charge", "adjustment")) == 7


@pytest.mark.parametrize("verdict", ["done", "retry"])
async def test_settle_when_a_job_that_was_heard_of_is_asked_after_then_the_operators_word_is_booked_once(
    house: scene.House, verdict: str
) -> None:
    deploy(house)
    worker = await house.worker()
    run_id = await a_call(house, worker)
    (sent,) = await house.claim_models(worker, "paint")
    await house.store.mark_sending(calls=[(sent, "digest")])
    await house.settle(scene.unsure(sent, verdict="bury"))
    await by_hand(run_id, "retry")
    await house.settle(scene.accepted(sent, handle="job-9"))

    await by_hand(run_id, verdict)

    cost = {"done": scene.COST_NANO_USD, "retry": 0}[verdict]
    assert sum(amount for kind, amount in house.books() if kind in ("charge", "adjustment")) == cost
    assert (await house.shown(run_id)).cost_nano_usd == cost


@pytest.mark.parametrize(
    ("verdict", "state", "charged"),
    [("done", "done", [scene.COST_NANO_USD]), ("failed", "rejected", [])],
)
async def test_settle_when_the_unknown_step_was_cancelled_then_its_reservation_is_closed(
    house: scene.House, verdict: str, state: str, charged: list[int]
) -> None:
    deploy(house)
    worker = await house.worker()
    run_id = await a_call(house, worker)
    (sent,) = await house.claim_models(worker, "paint")
    await house.store.mark_sending(calls=[(sent, "digest")])
    await house.settle(scene.unsure(sent, verdict="bury"))
    await house.cancel(run_id)
    with pytest.raises(operators.ChangeRefused, match="stopped with its run"):
        await by_hand(run_id, "retry")

    await by_hand(run_id, verdict)

    bounds = {"low": run_id, "high": uuid.UUID(int=2**128 - 1), "limit": 9}
    kept = house.connection.execute(statements.load("week_held"), bounds).fetchall()
    assert house.value("select state from heddle_attempt where run_id = %s", run_id) == state
    assert [amount for kind, amount in house.books() if kind == "charge"] == charged
    assert kept == [(0, 0)]
    with pytest.raises(operators.ChangeRefused, match="not of unknown outcome"):
        await by_hand(run_id, verdict)


async def test_settle_when_the_step_is_not_unknown_then_it_is_refused(house: scene.House) -> None:
    deploy(house)
    worker = await house.worker()
    run_id = await a_call(house, worker)

    with pytest.raises(operators.ChangeRefused, match="not of unknown outcome"):
        await ask("settle_unknown", run_id=run_id, ordinal=1, verdict="done", output=1, cost_nano_usd=None, actor=ACTOR)
