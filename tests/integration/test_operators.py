"""What operators change holds for every claim: pauses, limits over the file's, verdicts by hand; each is audited."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from heddle.config import deployment
from heddle.core import lanes as numbers
from heddle.core import plan, run
from heddle.core.policy import reuse
from heddle.ports import operators, records, store
from heddle.store import operators as operators_store
from tests.races import fixtures, invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house
ACTOR = "test"


@pytest_asyncio.fixture(loop_scope="module")
async def house(open_house: scene.House) -> AsyncIterator[scene.House]:
    open_house.wipe()
    open_house.connection.execute("delete from heddle_operation; delete from heddle_limit_override")
    open_house.connection.execute("update heddle_tenant set paused_at = null")
    yield open_house
    assert not invariants.broken(open_house.connection)


def desk() -> operators_store.DjangoOperators:
    return operators_store.DjangoOperators(cleanup_s=scene.CLEANUP_S)


async def ask(what: str, /, **given: Any) -> Any:
    """Call the operators' desk."""
    return await scene.in_thread(lambda: getattr(desk(), what)(**given))


def deploy(house: scene.House) -> None:
    house.deploy(
        [scene.endpoint("one"), scene.endpoint("two")],
        [
            deployment.Route(model="paint", endpoint="one", tier=0, weight=1),
            deployment.Route(model="draw", endpoint="two", tier=0, weight=1),
        ],
        scopes=[deployment.Scope(name="one", concurrency=10), deployment.Scope(name="two", concurrency=10)],
    )


async def a_call(house: scene.House, worker: int, model: str = "paint") -> uuid.UUID:
    """Plan one run with one due model call."""
    (run_id,) = house.submit()
    call = scene.call(1, "model", model)
    await house.begin(run_id, worker, call, ending=scene.returned(1))
    return run_id


@pytest.mark.parametrize(("kind", "name"), [("endpoint", "one"), ("model", "paint"), ("tenant", "default")])
async def test_pause_when_work_is_in_line_then_nothing_is_claimed_until_it_is_resumed(
    house: scene.House, kind: str, name: str
) -> None:
    deploy(house)
    worker = await house.worker()
    await a_call(house, worker)
    await ask("pause", kind=operators.Kind(kind), name=name, actor=ACTOR)

    while_paused = await house.claim_models(worker, "paint")
    is_resumed = await ask("resume", kind=operators.Kind(kind), name=name, actor=ACTOR)
    after = await house.claim_models(worker, "paint")

    assert (len(while_paused), is_resumed, len(after)) == (0, True, 1)
    await house.settle(scene.done(after[0]))


async def test_pause_when_one_endpoint_is_paused_then_the_other_goes_on(house: scene.House) -> None:
    deploy(house)
    worker = await house.worker()
    await a_call(house, worker)
    await a_call(house, worker, "draw")
    await ask("pause", kind=operators.Kind.ENDPOINT, name="one", actor=ACTOR)

    claimed = await house.claim_models(worker, "paint", "draw")

    assert [item.name for item in claimed] == ["draw"]
    await house.settle(scene.done(claimed[0]))


async def test_pause_when_a_tenant_is_paused_then_its_jobs_at_providers_are_still_asked_after(
    house: scene.House,
) -> None:
    deploy(house)
    worker = await house.worker()
    await a_call(house, worker)
    (sent,) = await house.claim_models(worker, "paint")
    await house.settle(scene.accepted(sent, delay_s=0.0))
    await ask("pause", kind=operators.Kind.TENANT, name="default", actor=ACTOR)
    house.due_now()
    await house.pump(worker)
    lane = house.value("select poll_lane from heddle_endpoint where name = 'one'")

    polls = await house.claim(worker, lane, purpose="poll")
    in_flight = await ask("in_flight", kind=operators.Kind.TENANT, name="default")

    assert len(polls) == 1
    assert in_flight.calls == 1
    await house.settle(scene.done(polls[0]))
    assert (await ask("in_flight", kind=operators.Kind.TENANT, name="default")).total == 0


async def test_pause_when_the_file_is_applied_again_then_it_stays(house: scene.House) -> None:
    deploy(house)
    since = await ask("pause", kind=operators.Kind.ENDPOINT, name="one", actor=ACTOR)

    deploy(house)

    (view,) = [each for each in await ask("endpoints") if each.name == "one"]
    assert view.paused_at == since
    await ask("resume", kind=operators.Kind.ENDPOINT, name="one", actor=ACTOR)


async def test_pause_when_there_is_no_such_thing_then_it_is_missing(house: scene.House) -> None:
    deploy(house)

    for kind in operators.Kind:
        with pytest.raises(operators.SubjectMissing):
            await ask("pause", kind=kind, name="nobody", actor=ACTOR)


async def test_pause_when_made_twice_and_undone_then_the_audit_has_it_once_each(house: scene.House) -> None:
    deploy(house)
    subject = {"kind": operators.Kind.MODEL, "name": "draw", "actor": "who"}
    for _ in range(2):
        await ask("pause", **subject)
    for _ in range(2):
        await ask("resume", **subject)

    found = await ask("audit", limit=2)

    assert [(each.actor, each.action, each.subject) for each in found] == [
        ("who", "resume", "model draw"),
        ("who", "pause", "model draw"),
    ]


async def test_audit_when_somebody_changes_a_row_then_it_is_refused(house: scene.House) -> None:
    deploy(house)
    await ask("pause", kind=operators.Kind.MODEL, name="paint", actor=ACTOR)
    await ask("resume", kind=operators.Kind.MODEL, name="paint", actor=ACTOR)

    for statement in ("update heddle_audit set actor = 'x'", "delete from heddle_audit", "truncate heddle_audit"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            house.connection.execute(statement)


async def test_limits_when_set_over_the_files_then_they_win_until_they_are_reset(house: scene.House) -> None:
    deploy(house)
    limits = "select concurrency, requests_per_min from heddle_limit_state where name = 'one'"
    await ask(
        "set_limits", endpoint="one", change=operators.LimitChange(concurrency=0, requests_per_min=60), actor=ACTOR
    )

    set_over = house.rows(limits)
    deploy(house)
    applied = house.rows(limits)
    is_reset = await ask("reset_limits", endpoint="one", actor=ACTOR)
    again = await ask("reset_limits", endpoint="one", actor=ACTOR)

    assert (set_over, applied, house.rows(limits)) == ([(0, 60)], [(0, 60)], [(10, None)])
    assert (is_reset, again) == (True, False)


async def test_limits_when_the_endpoint_shares_its_scopes_then_it_is_refused(house: scene.House) -> None:
    house.deploy([scene.endpoint("one", "account", "region")], [])

    with pytest.raises(operators.ChangeRefused, match="account, region"):
        await ask(
            "set_limits",
            endpoint="one",
            change=operators.LimitChange(concurrency=1, requests_per_min=None),
            actor=ACTOR,
        )


def wanted(action: str, *, priority: str | None = None, **where: Any) -> operators.NewOperation:
    return operators.NewOperation(
        tenant=records.Tenant(id=1, name="default"),
        action=operators.Action(action),
        where=operators.BulkFilter(**where),
        priority=None if priority is None else run.Priority(priority),
        actor=ACTOR,
    )


async def carry_out(house: scene.House, new: operators.NewOperation, *, batch: int = 3) -> operators.OperationView:
    """Start an operation and do its chunks, as a leader would."""
    started = await ask("start_operation", new=new)
    for _ in range(1_000):
        done = await house.store.operate(batch=batch, cleanup_s=scene.CLEANUP_S)
        if done is None or done.is_over:
            break
    view: operators.OperationView = await ask("operation", tenant=house.tenant, operation_id=started.id)
    return view


async def test_operation_when_it_cancels_then_only_the_runs_of_its_filter_stop(house: scene.House) -> None:
    deploy(house)
    meant, spared = house.submit(count=7, labels={"batch": "a"}), house.submit(count=4, labels={"batch": "b"})

    view = await carry_out(house, wanted("cancel", label=("batch", "a")))

    assert {house.state(run_id) for run_id in meant} == {"cancelled"}
    assert {house.state(run_id) for run_id in spared} == {"queued"}
    assert (view.state, view.matched, view.changed, view.looked_at, view.progress) == ("done", 7, 7, 11, 1.0)


async def test_operation_when_it_retries_by_fault_then_failed_runs_are_due_again(house: scene.House) -> None:
    deploy(house)
    worker = await house.worker()
    failed = []
    for _ in range(5):
        failed += house.submit()
        await house.begin(failed[-1], worker, ending=scene.raised())
    other = house.submit()

    view = await carry_out(house, wanted("retry", fault="code_raised"))

    assert {house.state(run_id) for run_id in failed} == {"running"}
    assert (view.matched, view.changed) == (5, 5)
    assert house.state(other[0]) == "queued"


async def test_operation_when_it_reprioritises_then_what_is_in_line_moves_and_what_comes_follows(
    house: scene.House,
) -> None:
    deploy(house)
    worker = await house.worker()
    begun = [await a_call(house, worker) for _ in range(5)]
    queued = house.submit(count=5)

    view = await carry_out(house, wanted("reprioritise", priority="batch", workflow=scene.WORKFLOW))

    lanes = dict(house.rows("select lane, count(*) from heddle_ready group by lane"))
    batch_model = numbers.number("model", "paint", 1, "batch")
    batch_activation = numbers.number("activation", scene.WORKFLOW, 1, "batch")
    assert lanes == {batch_model: 5, batch_activation: 5}
    assert (view.changed, view.state) == (10, "done")
    assert house.value("select count(*) from heddle_run where priority = 'batch'") == len(begun) + len(queued)


async def test_operation_when_it_reprioritises_calls_that_look_for_equal_ones_then_they_look_before_they_are_paid_for(
    house: scene.House,
) -> None:
    deploy(house)
    call = scene.call(1, "model", "paint", options=plan.CallOptions(reuse=reuse.Reuse()))
    new = scene.new_run(house.tenant, workflow="model:paint", call=call)
    await scene.in_thread(lambda: house.doors().submit(new))

    await carry_out(house, wanted("reprioritise", priority="batch", workflow="model:paint"))

    (lane,) = (row[0] for row in house.rows("select lane from heddle_ready"))
    assert lane == numbers.number(plan.LOOK, "paint", 1, "batch")


async def test_operation_when_its_leader_dies_between_chunks_then_the_next_goes_on_and_repeats_nothing(
    house: scene.House,
) -> None:
    deploy(house)
    house.submit(count=9)
    started = await ask("start_operation", new=wanted("cancel", workflow=scene.WORKFLOW))
    await house.store.operate(batch=4, cleanup_s=scene.CLEANUP_S)
    other = scene.engine_store(house.database)
    await other.open()

    for _ in range(3):
        await other.operate(batch=4, cleanup_s=scene.CLEANUP_S)
    await other.close()

    view = await ask("operation", tenant=house.tenant, operation_id=started.id)
    assert (view.state, view.looked_at, view.changed) == ("done", 9, 9)
    assert house.value("select count(*) from heddle_event where name = 'run.cancelled'") == 9


async def test_operation_when_stopped_then_what_it_did_stays_and_it_goes_no_further(house: scene.House) -> None:
    deploy(house)
    house.submit(count=9)
    started = await ask("start_operation", new=wanted("cancel", workflow=scene.WORKFLOW))
    await house.store.operate(batch=4, cleanup_s=scene.CLEANUP_S)

    is_stopped = await ask("stop_operation", tenant=house.tenant, operation_id=started.id, actor=ACTOR)

    assert is_stopped
    assert await house.store.operate(batch=4, cleanup_s=scene.CLEANUP_S) is None
    assert house.value("select count(*) from heddle_run where state = 'cancelled'") == 4


async def test_preview_when_asked_then_it_counts_and_changes_nothing(house: scene.House) -> None:
    deploy(house)
    made = house.submit(count=3)

    found = await ask("preview", new=wanted("cancel", workflow=scene.WORKFLOW), seconds_max=5.0)

    assert (found.matched, found.is_whole, found.sample) == (3, True, tuple(sorted(made)))
    assert {house.state(run_id) for run_id in made} == {"queued"}


async def test_operation_when_another_tenant_asks_then_there_is_none(house: scene.House) -> None:
    deploy(house)
    started = await ask("start_operation", new=wanted("cancel", workflow=scene.WORKFLOW))

    with pytest.raises(operators.SubjectMissing):
        await ask("operation", tenant=records.Tenant(id=999, name="other"), operation_id=started.id)
    await ask("stop_operation", tenant=house.tenant, operation_id=started.id, actor=ACTOR)


async def test_pause_when_a_tenants_step_ends_then_its_successor_is_not_taken_along(house: scene.House) -> None:
    deploy(house)
    worker = await house.worker()
    (run_id,) = house.submit()
    calls = (scene.call(1, "step", "first"), scene.call(2, "step", "second", parents=(1,)))
    await house.begin(run_id, worker, *calls, ending=scene.returned(2))
    (first,) = await house.claim(worker, scene.step_lane("first"))
    await ask("pause", kind=operators.Kind.TENANT, name="default", actor=ACTOR)
    lane = scene.step_lane("second")
    direct = store.Direct(worker=worker, claim_id=uuid.uuid4(), lanes={lane: 1}, places={1: 5})

    report = await house.store.settle(settlements=[scene.done(first)], direct=direct)

    assert report.leased == ()
    assert await house.claim(worker, lane) == []
    await ask("resume", kind=operators.Kind.TENANT, name="default", actor=ACTOR)
    assert len(await house.claim(worker, lane)) == 1
