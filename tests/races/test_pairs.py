"""Every stage against every other on the same run: the first is held before its commit, the second starts, then the
first commits.

What comes out must be what one of the two would have made after the other: the races are compared with both serial
orders.
"""

import asyncio
import dataclasses
import functools
import itertools
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from heddle.core import lanes, plan
from heddle.ports import store
from heddle.store import postgres
from tests import pg
from tests.races import holding, invariants, scene, working

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = ("shown", "sent")
NAMES = ("claim", "claim_model", "settle", "activate", "cancel", "reclaim", "signal", "callback", "pump")
# Claims hold no run lock: nobody waits for them and they wait for nobody.
CLAIMS = frozenset({"claim", "claim_model"})
DOORS = {"cancel": "stop", "signal": "signal_add", "callback": "callback_add"}
PAIRS = list(itertools.product(NAMES, NAMES))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def held(database: pg.Database) -> AsyncIterator[postgres.PostgresStore]:
    made = holding.held_store(database)
    await made.open()
    yield made
    await made.close()


@dataclasses.dataclass(slots=True, kw_only=True)
class Stage:
    """Hold one run on which every stage has something to do.

    1: model, being sent by a worker that is silent. 2: step, in line. 3: signal, waited for. 4: model, accepted. 5:
    step blocked by 1.
    6: step, done. 7: sleep, over. 8: model, in line. The activation is leased by the silent worker.
    """

    house: scene.House
    run_id: uuid.UUID
    worker: int
    sending: store.Claimed
    accepted: store.Claimed
    activation: store.Claimed
    journal: store.LoadedJournal


async def set_up(house: scene.House) -> Stage:
    house.wipe()
    house.deploy(
        [scene.endpoint("one"), scene.endpoint("two")],
        [scene.deployment.Route(model="sent", endpoint="one"), scene.deployment.Route(model="shown", endpoint="two")],
        scopes=[scene.deployment.Scope(name="one", concurrency=50)],
    )
    (run_id,) = house.submit()
    silent, worker = await house.worker("silent"), await house.worker("lively")
    await house.begin(
        run_id,
        silent,
        scene.call(1, "model", "sent"),
        scene.call(2, "step", "slow"),
        scene.call(3, "signal", "verdict"),
        scene.call(4, "model", "sent"),
        scene.call(5, "step", "slow", parents=[1]),
        scene.call(6, "step", "quick"),
        scene.call(7, "sleep", "sleep", options=plan.CallOptions(delay_s=1.0)),
        scene.call(8, "model", "shown"),
        ending=scene.suspended(6),
    )
    sending, taken = sorted(await house.claim_models(silent, "sent"), key=lambda item: item.ordinal)
    assert await house.store.mark_sending(calls=[(sending, "digest")])
    (quick,) = await house.claim(silent, scene.step_lane("quick"))
    await house.settle(scene.accepted(taken), scene.done(quick))
    (activation,) = await house.claim(silent, scene.ACTIVATIONS, purpose="activate")
    journal = (await house.store.journals(run_ids=[run_id], outputs_of={}))[run_id]
    house.silence(silent)
    house.due_now()
    return Stage(
        house=house,
        run_id=run_id,
        worker=worker,
        sending=sending,
        accepted=taken,
        activation=activation,
        journal=journal,
    )


def operation(name: str, stage: Stage, engine: postgres.PostgresStore, doors: Any) -> Awaitable[Any]:
    """Start one stage's work on the run."""
    made = plan.Plan(
        run_id=stage.run_id, calls=(scene.call(9, "step", "slow", parents=[1]),), ending=scene.suspended(1)
    )
    write = store.PlanWrite(plan=made, fence=stage.activation.fence, wake_seq=stage.journal.wake_seq)
    tenant = stage.house.tenant
    chosen: dict[str, Callable[[], Awaitable[Any]]] = {
        "claim": lambda: engine.claim_local(
            worker=stage.worker, claim_id=uuid.uuid4(), lanes=working.local_wishes("slow")[1:], caps=[10]
        ),
        "claim_model": lambda: engine.claim_models(
            worker=stage.worker,
            claim_id=uuid.uuid4(),
            want=10,
            lanes=[store.ModelWish(lane=scene.model_lane("shown"), model="shown", share=1.0)],
        ),
        "settle": lambda: engine.settle(settlements=[scene.done(stage.sending)]),
        "activate": lambda: engine.write_plans(plans=[write], cleanup_s=scene.CLEANUP_S),
        "reclaim": lambda: engine.reclaim(lease_s=15.0, margin_s=0.0, limit=100),
        "pump": lambda: scene.pump(engine, stage.worker),
        "cancel": lambda: scene.in_thread(lambda: doors.cancel(tenant=tenant, run_id=stage.run_id)),
        "signal": lambda: scene.in_thread(
            lambda: doors.signal(tenant=tenant, run_id=stage.run_id, name="verdict", payload="yes", idempotency_key="k")
        ),
        "callback": lambda: scene.in_thread(
            lambda: doors.callback(endpoint="one", attempt_id=scene.attempt_id(stage.accepted), event_id="e")
        ),
    }
    return chosen[name]()


def shape(stage: Stage) -> dict[str, Any]:
    """Give everything about the run that outlasts the order in which equal things happened."""
    house, run = stage.house, stage.run_id
    terminal = "('succeeded', 'failed', 'cancelled', 'skipped')"
    return {
        "run": house.rows(
            "select state, stopping, open, failed, function_state, is_activation_due, planned, wake_seq, "
            "await_left, cost_nano_usd, event_seq "
            "from heddle_run where id = %s",
            run,
        ),
        "steps": house.rows(
            "select ordinal, state, blockers, children from heddle_step where run_id = %s order by 1", run
        ),
        "ready": house.rows(
            f"select y.ordinal from heddle_ready y left join heddle_step s on s.run_id = y.run_id and "
            f"s.ordinal = y.ordinal "
            f"where y.run_id = %s and coalesce(s.state, 'due') not in {terminal} order by 1",
            run,
        ),
        "leases": house.rows("select ordinal, purpose from heddle_lease where run_id = %s order by 1", run),
        "slots": house.rows("select ordinal from heddle_slot where run_id = %s order by 1", run),
        "timers": house.rows("select ordinal, kind from heddle_timer where run_id = %s order by 1, 2", run),
        "attempts": house.rows(
            "select ordinal, number, state from heddle_attempt where run_id = %s and ordinal not in (2, 8) "
            "order by 1, 2",
            run,
        ),
        "signals": house.rows("select name, consumed_by from heddle_signal where run_id = %s order by 1, 2", run),
        "inbox": house.rows("select event_id from heddle_inbox where run_id = %s", run),
    }


async def hand_in(stage: Stage) -> None:
    """Settle leases of steps that are over, as the worker does that claimed them while their run was being stopped."""
    zombies = stage.house.rows(
        "select l.run_id, l.ordinal, l.fence from heddle_lease l join heddle_step s on s.run_id = l.run_id "
        "and s.ordinal = l.ordinal "
        "where s.state = 'cancelled' and l.purpose <> 'poll'"
    )
    await stage.house.store.give_back(
        leases=[store.LeaseRef(run_id=row[0], ordinal=row[1], fence=row[2]) for row in zombies]
    )


async def answer(stage: Stage) -> None:
    """Give the signal that the run waits for, unless it came in the race."""
    if stage.house.state(stage.run_id) == "running":
        await stage.house.signal(stage.run_id, "verdict", "yes", "k")


SERIAL: dict[tuple[str, str], dict[str, Any]] = {}


async def serial(house: scene.House, first: str, second: str) -> dict[str, Any]:
    if (first, second) not in SERIAL:
        stage = await set_up(house)
        await operation(first, stage, house.store, house.doors())
        await operation(second, stage, house.store, house.doors())
        SERIAL[first, second] = shape(stage)
    return SERIAL[first, second]


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_two_stages_on_one_run_when_one_is_held_then_the_end_is_that_of_an_order(
    house: scene.House, held: postgres.PostgresStore, first: str, second: str
) -> None:
    allowed = [await serial(house, first, second), await serial(house, second, first)]
    stage = await set_up(house)
    gate = threading.Event()
    connections = held._connections
    assert isinstance(connections, holding.HeldConnections)
    connections.arm()
    reached = connections.reached
    doors = holding.HeldDoors(
        DOORS.get(first, ""), reached, functools.partial(gate.wait, scene.PATIENCE_S), asyncio.get_running_loop()
    )

    one = asyncio.ensure_future(operation(first, stage, held, doors))
    await asyncio.wait_for(reached.wait(), scene.PATIENCE_S)
    two = asyncio.ensure_future(operation(second, stage, house.store, house.doors()))
    has_waited = await holding.waits_for_lock(house.connection, two)
    gate.set()
    connections.go.set()
    await asyncio.gather(one, two)
    await hand_in(stage)

    assert has_waited == (first not in CLAIMS and second not in CLAIMS)
    assert not invariants.broken(house.connection)
    assert shape(stage) in allowed
    await answer(stage)
    await working.drain(house, wishes=working.local_wishes("slow", "quick", endpoints=("one", "two")), models=MODELS)
    assert not invariants.broken(house.connection, drained=True)
    assert house.state(stage.run_id) == ("cancelled" if "cancel" in (first, second) else "succeeded")


async def test_lanes_of_the_stage_when_named_then_they_are_what_the_planner_makes() -> None:
    planned = lanes.of_call(scene.call(1, "step", "slow"), scene.records.run.Priority.STANDARD)

    assert planned == scene.step_lane("slow")
