"""A chain of runs is found by the id of its first after the week of that has been removed, and is forgotten with its
last; workers of the release before, which do not note the newest run, lose nobody that they did not lose before.
"""

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from heddle.core import ids, plan
from heddle.core.policy import retention
from heddle.ports import doors, operating
from heddle.store import partitions, retaining, schedule, statements
from tests.races import fixtures, invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house
ON = plan.Continued(workflow=scene.WORKFLOW, input={}, version=1)
DAYS = 28


@pytest_asyncio.fixture(loop_scope="module")
async def house(open_house: scene.House) -> AsyncIterator[scene.House]:
    open_house.wipe()
    yield open_house
    assert not invariants.broken(open_house.connection)


def id_weeks_ago(house: scene.House, weeks: int) -> uuid.UUID:
    """Make the partitions of a week that is over, and the id of a run of then."""
    now_s = partitions.database_now_s(house.connection.cursor())
    week = retention.Week(number=retention.week_of(now_s=now_s).number - weeks)
    with house.connection.transaction():
        assert partitions.create(house.connection.cursor(), week)
    return ids.run_id(database_unix_ms=int(week.starts_at_s + 3_600) * 1000, random_bits=weeks)


def begun(house: scene.House, run_id: uuid.UUID) -> uuid.UUID:
    """Write a run of this id."""
    arrays = schedule.NewRuns()
    arrays.add(run_id=run_id, tenant_id=1, workflow=scene.WORKFLOW, version=1, priority=scene.PRIORITY, arguments={})
    house.connection.execute(statements.load("new_runs"), arrays.values)
    return run_id


async def go_on(house: scene.House, worker: int, run_id: uuid.UUID) -> uuid.UUID:
    """Let a run go on as another, and give that."""
    await house.begin(run_id, worker, ending=ON)
    found: uuid.UUID = house.value("select continued_as from heddle_run where id = %s", run_id)
    return found


def retain(house: scene.House) -> operating.RetentionReport:
    return retaining.run_at(house.database.dsn, runs_days=DAYS, ledger_days=0, weeks_ahead=4)


async def test_chain_when_the_week_of_its_first_run_is_removed_then_that_id_leads_to_the_newest(
    house: scene.House,
) -> None:
    worker = await house.worker()
    first = begun(house, id_weeks_ago(house, 8))
    newest = await go_on(house, worker, await go_on(house, worker, first))

    report = retain(house)
    shown = await house.shown(first)
    after = await go_on(house, worker, newest)
    is_cancelled = await house.cancel(first)

    assert (len(report.dropped), report.kept) == (4, ())
    assert (shown.id, house.state(after), is_cancelled) == (newest, "cancelled", True)
    assert house.rows("select first, tenant_id, last from heddle_chain") == [(first, 1, after)]


async def test_chain_when_the_week_of_its_last_run_is_removed_then_it_is_forgotten(
    house: scene.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await house.worker()
    kept = await go_on(house, worker, *house.submit())
    first, last = begun(house, id_weeks_ago(house, 9)), id_weeks_ago(house, 8)
    with monkeypatch.context() as patched:
        patched.setattr(house.store, "new_run_id", lambda: last)
        assert await go_on(house, worker, first) == last
    # What lives keeps its week, and its chain is known as long.
    before = (retain(house), await house.shown(first))
    await house.begin(last, worker, ending=scene.returned())

    report = retain(house)

    assert [len(each.dropped) for each in (before[0], report)] == [4, 4]
    assert before[1].id == last
    assert report.pruned == 1
    assert house.rows("select last from heddle_chain") == [(kept,)]
    with pytest.raises(doors.RunMissing, match=str(first)):
        await house.shown(first)


async def half_gone(house: scene.House, worker: int) -> list[uuid.UUID]:
    """Let a run go on as four others, and the first two of the five be gone."""
    links = house.submit()
    for _ in range(4):
        links.append(await go_on(house, worker, links[-1]))
    for gone in links[:2]:
        house.forget(gone)
    return links


@pytest.mark.parametrize("noted", [2, 3, 4])
async def test_chain_when_the_release_before_took_it_further_then_it_is_followed_from_what_is_known(
    house: scene.House, noted: int
) -> None:
    links = await half_gone(house, await house.worker())
    house.connection.execute("update heddle_chain set last = %s", (links[noted],))

    found, between = await house.shown(links[0]), await house.shown(links[2])
    await house.signal(links[0], "word", "heard")

    assert (found.id, between.continued_last) == (links[-1], links[-1])
    assert house.value("select run_id from heddle_signal") == links[-1]


@pytest.mark.parametrize(
    "change", ["delete from heddle_chain where last <> %s", "update heddle_chain set last = %s"], ids=["none", "gone"]
)
async def test_chain_when_nothing_that_is_there_is_known_of_it_then_its_next_run_makes_it_known(
    house: scene.House, change: str
) -> None:
    worker = await house.worker()
    links = await half_gone(house, worker)
    house.connection.execute(change, (links[1],))

    with pytest.raises(doors.RunMissing, match=str(links[0])):
        await house.shown(links[0])
    between = await house.shown(links[2])
    after = await go_on(house, worker, links[-1])

    assert between.continued_last == links[-1]
    assert (await house.shown(links[0])).id == after
    assert (await house.shown(links[2])).continued_last == after
