"""Real workers carry first_of, map and continue_as_new out on PostgreSQL, and end what nobody waits for any more."""

import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from heddle import wiring
from heddle.config import deployment
from heddle.core import plan
from heddle.core.run import RunState
from tests import pg
from tests.integration import forms_workflows, working
from tests.races import invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
PRICE_NANO_USD = 40_000_000


@pytest.fixture(scope="module")
def painter() -> working.Painter:
    return working.Painter()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def workers(
    database: pg.Database, tmp_path_factory: pytest.TempPathFactory, painter: working.Painter
) -> AsyncIterator[pg.Database]:
    folder: pathlib.Path = tmp_path_factory.mktemp("forms")
    with database.connect() as connection:
        house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        house.deploy(
            [scene.endpoint("forms_studio", price_nano_usd=PRICE_NANO_USD)],
            [deployment.Route(model="forms_paint", endpoint="forms_studio")],
        )
        preload = [forms_workflows.__name__]
        parts = [working.parts_of(database, folder, painter, name=name, preload=preload) for name in ("a", "b")]
        async with working.working(*parts):
            yield database
            await working.until(lambda: not invariants.broken(connection, drained=True))


async def test_race_when_a_step_hangs_then_the_other_wins_and_the_run_is_over_without_it(workers: pg.Database) -> None:
    view = await working.ended("forms.race", {"number": 4})

    assert (view.state, view.output) == (RunState.SUCCEEDED, {"winner": 1, "value": 40})
    steps = await scene.in_thread(lambda: wiring.client().steps(view.id))
    assert [step.state.value for step in steps] == ["cancelled", "succeeded", "cancelled"]
    assert (view.finished_at - view.created_at).total_seconds() < working.PATIENCE_S / 2  # type: ignore[operator]


async def test_map_when_it_is_of_many_items_then_they_are_in_order_and_never_too_many_open(
    workers: pg.Database,
) -> None:
    view = await working.ended("forms.spread", {"count": 900, "chunk": 50, "in_flight_max": 100, "max_failed": 0})

    assert view.state is RunState.SUCCEEDED, view.error
    assert view.output == [20 * number for number in range(900)]
    with workers.connect() as connection:
        found = connection.execute(
            "select id, planned from heddle_run where parent_run = %s and workflow = 'heddle.map'", (view.id,)
        ).fetchall()
        most = connection.execute(
            "with e as (select created_at as at, 1 as d from heddle_step where run_id = %(id)s union all "
            "select finished_at, -1 from heddle_step where run_id = %(id)s) "
            "select max(n) from (select sum(d) over (order by at, d) as n from e) x",
            {"id": found[0][0]},
        ).fetchone()
    assert [planned for _, planned in found] == [900]
    assert most is not None
    assert most[0] <= 100


@pytest.mark.parametrize(("max_failed", "state"), [(2, RunState.SUCCEEDED), (1, RunState.FAILED)])
async def test_map_when_some_items_fail_then_as_many_as_allowed_are_none(
    workers: pg.Database, max_failed: int, state: RunState
) -> None:
    view = await working.ended("forms.spread_odd", {"given": [2, 3, 4, 5], "max_failed": max_failed})

    assert view.state is state
    assert view.output == ([20, None, 40, None] if state is RunState.SUCCEEDED else None)
    assert state is RunState.SUCCEEDED or "of heddle.map over forms.even failed" in str(view.error)


async def test_map_when_it_is_over_no_list_then_the_run_fails_and_says_so(workers: pg.Database) -> None:
    view = await working.ended("forms.spread_wrong", {})

    assert view.state is RunState.FAILED
    assert "heddle.map takes a list; the call it maps over gave a number" in str(view.error)


async def test_chain_when_a_run_goes_on_as_others_then_the_first_is_waited_for_to_the_last(
    workers: pg.Database,
) -> None:
    first = await working.submitted(
        "forms.count_down", {"left": 4}, labels={"order": "7"}, priority="interactive", deadline_s=600.0
    )

    last = await working.waited(first)
    begun = await scene.in_thread(lambda: wiring.client().get(first))

    assert (last.state, last.output) == (RunState.SUCCEEDED, 80)
    assert (begun.state, begun.output, begun.continued_last) == (RunState.SUCCEEDED, None, last.id)
    assert (last.labels, last.priority.value, last.deadline_at) == ({"order": "7"}, "interactive", begun.deadline_at)
    with workers.connect() as connection:
        chain = connection.execute(
            "select id, continued_from, continued_as, coalesce(chain_number, 1) from heddle_run "
            "where id = %(id)s or chain_first = %(id)s order by chain_number nulls first",
            {"id": first},
        ).fetchall()
    assert [row[3] for row in chain] == [1, 2, 3, 4]
    assert [row[2] for row in chain[:-1]] == [row[0] for row in chain[1:]]
    assert [row[1] for row in chain[1:]] == [row[0] for row in chain[:-1]]


async def test_chain_when_it_is_below_another_run_then_that_one_gets_the_last_result(workers: pg.Database) -> None:
    view = await working.ended("forms.parent", {"left": 3})

    assert (view.state, view.output) == (RunState.SUCCEEDED, 60)


async def test_chain_when_it_is_signalled_by_its_first_id_then_the_run_that_goes_on_hears_it(
    workers: pg.Database,
) -> None:
    first = await working.submitted("forms.for_a_word", {})
    for _ in range(3_000):
        view = await scene.in_thread(lambda: wiring.client().get(first))
        if view.continued_as is not None:
            break

    await scene.in_thread(lambda: wiring.client().signal(first, "word", "enough"))
    last = await working.waited(first)

    assert view.continued_as is not None
    assert (last.state, last.output) == (RunState.SUCCEEDED, "enough")


async def test_chain_when_it_is_cancelled_by_its_first_id_then_the_run_that_goes_on_ends(workers: pg.Database) -> None:
    first = await working.submitted("forms.for_a_word", {})
    for _ in range(3_000):
        view = await scene.in_thread(lambda: wiring.client().get(first))
        if view.continued_as is not None:
            break

    assert await scene.in_thread(lambda: wiring.client().cancel(first))
    last = await working.waited(first)

    assert last.state is RunState.CANCELLED


async def test_cap_when_children_buy_side_by_side_then_together_they_stay_under_it(
    workers: pg.Database, painter: working.Painter
) -> None:
    before = painter.sent

    view = await working.ended("forms.two_galleries", {"pictures": 4}, max_cost_usd="0.20")

    assert view.state is RunState.FAILED
    assert "max_cost_usd" in str(view.error)
    assert painter.sent - before == 5


async def test_deadline_when_a_child_hangs_then_it_ends_with_the_run_above_it(workers: pg.Database) -> None:
    view = await working.ended("forms.hangs_below", {}, deadline_s=1.0)

    with workers.connect() as connection:
        child = connection.execute(
            "select state, deadline_at from heddle_run where parent_run = %s", (view.id,)
        ).fetchone()
    assert view.state is RunState.EXPIRED
    assert child is not None
    assert child[1] == view.deadline_at


@pytest.mark.parametrize(
    ("workflow", "given", "fault", "told"),
    [
        ("forms.mislabelled", {}, "bad_output", "the value is no list[str]"),
        ("forms.too_many", {"count": 10_001}, "workflow_misuse", "more than 10,000 calls"),
        ("forms.heavy", {"size_bytes": 70_000}, "too_large", "inline a value may be 65,536"),
        ("forms.heavy_items", {"count": 80, "size_bytes": 60_000}, "too_large", "a result may be 4,194,304"),
    ],
)
async def test_input_when_it_is_more_than_may_be_then_the_run_fails_and_says_what_is_allowed(
    workers: pg.Database, workflow: str, given: dict[str, Any], fault: str, told: str
) -> None:
    view = await working.ended(workflow, given)

    assert view.state is RunState.FAILED
    assert view.error is not None
    assert view.error["fault"] == fault
    assert told in view.error["message"]


async def test_chain_when_it_goes_on_without_end_then_it_is_bounded_and_ends(
    workers: pg.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "CHAIN_MAX", 7)

    view = await working.ended("forms.without_end", {})

    with workers.connect() as connection:
        found = connection.execute("select count(*) from heddle_run where workflow = 'forms.without_end'").fetchone()
    assert view.state is RunState.FAILED
    assert "the run is number 7 of its chain" in str(view.error)
    assert found == (7,)
