"""The session of a heartbeat on PostgreSQL: seen gone when its process ends or is cut off, and at no other time."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
import pytest_asyncio

from heddle.ports import session
from heddle.store import pulse
from tests import pg
from tests.fault import programs
from tests.races import fixtures, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house


@pytest_asyncio.fixture(loop_scope="module")
async def house(open_house: scene.House) -> AsyncIterator[scene.House]:
    open_house.wipe()
    yield open_house


@pytest.fixture
def heart(database: pg.Database) -> Iterator[pulse.PostgresPulse]:
    made = pulse.PostgresPulse(dsn=database.dsn, timeout_s=5.0)
    yield made
    made.close()


AT_ONCE = session.Rule(gone_s=0.0, unwatched_s=60.0)
NEVER = session.Rule(gone_s=60.0, unwatched_s=60.0)


async def gone(house: scene.House) -> list[int]:
    return sorted((await house.store.watch_sessions(is_leader=True, rule=NEVER)).gone)


async def dead(house: scene.House, **more: object) -> list[int]:
    rule = dataclasses.replace(AT_ONCE, **more)
    return sorted((await house.store.watch_sessions(is_leader=True, rule=rule)).dead)


async def test_session_when_the_process_beats_then_it_stands_and_when_it_ends_then_it_is_gone(
    house: scene.House, heart: pulse.PostgresPulse
) -> None:
    worker = await house.worker()
    before = await gone(house)
    assert heart.beat(worker=worker, detail={})
    beating = await gone(house)

    heart.close()
    await until_ended(house)

    assert (before, beating) == ([], [])
    assert await gone(house) == [worker]


async def test_watch_when_a_session_is_gone_for_long_enough_then_its_worker_is_dead_once(
    house: scene.House, heart: pulse.PostgresPulse
) -> None:
    worker = await lost(house, heart)

    first_look, looks = await gone(house), [await dead(house) for _ in range(2)]

    assert (first_look, looks) == ([worker], [[worker], []])
    assert not heart.beat(worker=worker, detail={})


async def test_watch_when_it_is_the_first_look_then_nobody_is_dead_yet(
    house: scene.House, heart: pulse.PostgresPulse
) -> None:
    worker = await lost(house, heart)

    looks = [await dead(house) for _ in range(2)]

    assert looks == [[], [worker]]


async def test_watch_when_one_who_looked_is_gone_then_the_next_goes_on_with_it(
    house: scene.House, heart: pulse.PostgresPulse
) -> None:
    worker = await lost(house, heart)
    await gone(house)
    await seen(house, since_s=5.0, looked_s=4.0)

    looks = [await dead(house, gone_s=6.0), await dead(house, gone_s=5.0)]

    assert looks == [[], [worker]]


@pytest.mark.parametrize("rule", [{"unwatched_s": 3.0}, {"is_anew": True}, {"may_declare": False}])
async def test_watch_when_it_is_broken_or_only_goes_on_then_nobody_is_dead(
    house: scene.House, heart: pulse.PostgresPulse, rule: dict[str, object]
) -> None:
    worker = await lost(house, heart)
    await gone(house)
    await seen(house, since_s=9.0, looked_s=4.0)

    looks = [await dead(house, gone_s=5.0, **rule), await dead(house, gone_s=5.0)]

    assert looks == [[], [worker] if "may_declare" in rule else []]


async def test_watch_when_the_worker_has_come_back_under_another_session_then_it_is_left_alone(
    house: scene.House, heart: pulse.PostgresPulse
) -> None:
    worker = await lost(house, heart)
    await gone(house)

    heart.beat(worker=worker, detail={})
    back = await dead(house)
    heart.close()
    await until_ended(house)

    assert back == []
    assert [await dead(house) for _ in range(2)] == [[], [worker]]


async def test_pulse_when_the_server_ends_its_session_then_it_notices_without_asking(
    house: scene.House, heart: pulse.PostgresPulse
) -> None:
    worker = await house.worker()
    heart.beat(worker=worker, detail={})
    before = heart.is_lost()

    house.connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'heddle-heartbeat'"
    )
    await until_ended(house)
    # The server forgets a session a moment before it closes its connection.
    programs.until(heart.is_lost, what="the loss is noticed", timeout_s=scene.PATIENCE_S)

    assert not before
    assert heart.beat(worker=worker, detail={})
    assert await gone(house) == []


async def test_session_when_the_server_has_been_started_since_then_it_says_nothing(house: scene.House) -> None:
    worker = await house.worker()
    house.connection.execute(
        "update heddle_worker set detail = jsonb_build_object('session', '999999@1000.5') where id = %s", [worker]
    )

    assert await gone(house) == []


async def test_session_when_a_pooler_is_between_then_it_has_no_name(
    house: scene.House, heart: pulse.PostgresPulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pooler tells its client a number of its own, so the server's differs from what the connection knows.
    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", property(lambda _: 1))
    worker = await house.worker()
    heart.beat(worker=worker, detail={})
    heart.close()
    await until_ended(house)

    assert house.rows("select detail->'session' from heddle_worker where id = %s", worker) == [(None,)]
    assert await gone(house) == []


async def test_sessions_when_another_leads_then_only_the_leaders_is_shown(
    house: scene.House, database: pg.Database
) -> None:
    leader, other = await house.worker("leader"), await house.worker("other")
    assert await house.store.lead(worker=leader, lead_s=60.0)
    for worker in (leader, other):
        with contextlib.closing(pulse.PostgresPulse(dsn=database.dsn, timeout_s=5.0)) as heart:
            heart.beat(worker=worker, detail={})
    await until_ended(house)

    shown = await house.store.watch_sessions(is_leader=False, rule=NEVER)

    assert shown == session.Seen(gone=frozenset({leader}))


async def test_lead_when_the_leader_is_declared_dead_then_another_follows_at_once(
    house: scene.House, heart: pulse.PostgresPulse
) -> None:
    leader, heir = await house.worker("leader"), await house.worker("heir")
    assert await house.store.lead(worker=leader, lead_s=60.0)
    before = await house.store.lead(worker=heir, lead_s=60.0)
    heart.beat(worker=leader, detail={})
    heart.close()
    await until_ended(house)

    for _ in range(2):
        await house.store.watch_sessions(is_leader=False, rule=AT_ONCE)

    assert not before
    assert await house.store.lead(worker=heir, lead_s=60.0)


async def lost(house: scene.House, heart: pulse.PostgresPulse) -> int:
    """Make a worker whose session has ended."""
    worker = await house.worker()
    heart.beat(worker=worker, detail={})
    heart.close()
    await until_ended(house)
    return worker


async def seen(house: scene.House, *, since_s: float, looked_s: float) -> None:
    """Move the watch into the past: gone since so many seconds, last looked at so many ago."""
    house.connection.execute(
        "update heddle_worker set detail = detail || jsonb_build_object('gone', detail->'gone' || jsonb_build_object("
        "'since_s', extract(epoch from clock_timestamp()) - %s::float8,"
        " 'seen_s', extract(epoch from clock_timestamp()) - %s::float8))",
        [since_s, looked_s],
    )


async def until_ended(house: scene.House) -> None:
    """Wait until no heartbeat has a session in this database."""
    query = (
        "select pid from pg_stat_activity where application_name = 'heddle-heartbeat' and datname = current_database()"
    )
    for pid in [row[0] for row in house.connection.execute(query).fetchall()]:
        house.connection.execute("select pg_terminate_backend(%s, 5000)", [pid])
