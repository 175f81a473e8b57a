"""Everything through pgbouncer in transaction mode: the promises hold, and nothing is left in shared sessions."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
import pytest_asyncio

from heddle.store import pooler as pooler_module
from heddle.store import postgres, retaining
from tests import pg, pooler
from tests.contract import store_direct_suite, store_suite, store_work_suite
from tests.races import invariants, scene

pytestmark = [pytest.mark.needs("pgbouncer"), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def pooled(database: pg.Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pg.Database]:
    """Put a pooler in front of this file's database, for workers and for Django."""
    with pooler.in_front_of(database, tmp_path_factory.mktemp("pgbouncer")) as made, pg.django_using(made):
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=[True, False], ids=["auto", "off"])
async def open_house(
    request: pytest.FixtureRequest, database: pg.Database, pooled: pg.Database
) -> AsyncIterator[scene.House]:
    store = postgres.PostgresStore(
        dsn=pooled.dsn,
        pool_size=6,
        timeout_s=20,
        statement_timeout_s=30,
        is_prepared=request.param,
        send_window_s=5.0,
        claim_endpoints=4,
    )
    await store.open()
    with database.connect() as connection:
        yield scene.House(database=database, connection=connection, store=store)
    await store.close()


@pytest_asyncio.fixture(loop_scope="module")
async def house(open_house: scene.House) -> AsyncIterator[scene.House]:
    open_house.wipe()
    yield open_house
    assert not invariants.broken(open_house.connection)


class TestSubmit(store_suite.SubmitSuite):
    """Submit through a pooler."""


class TestStop(store_suite.StopSuite):
    """Stop through a pooler."""


class TestFailure(store_suite.FailureSuite):
    """Failure through a pooler."""


class TestWait(store_work_suite.WaitSuite):
    """Waiting through a pooler."""


class TestDirect(store_direct_suite.DirectSuite):
    """Steps leased as they are planned, through a pooler."""


class TestLease(store_work_suite.LeaseSuite):
    """Leases through a pooler."""


async def test_pooler_when_asked_then_it_is_told_from_a_direct_connection(
    database: pg.Database, pooled: pg.Database
) -> None:
    with psycopg.connect(database.dsn) as direct, psycopg.connect(pooled.dsn) as through:
        assert not pooler_module.is_pooled(direct)
        assert pooler_module.is_pooled(through)


async def test_session_when_the_store_has_worked_then_nothing_is_left_set_for_others(
    house: scene.House, pooled: pg.Database
) -> None:
    await house.worker()

    left = "select current_setting('statement_timeout') || current_setting('enable_seqscan')"
    with psycopg.connect(pooled.dsn, autocommit=True, prepare_threshold=None) as connection:
        found = {connection.execute(left).fetchone() for _ in range(4 * pooler.SERVER_CONNECTIONS)}

    assert found == {("0on",)}


async def test_partitions_and_retention_when_there_is_a_pooler_only_then_one_works_and_the_other_says_what_it_needs(
    house: scene.House, pooled: pg.Database
) -> None:
    assert await house.store.ensure_partitions(weeks_ahead=1) == []
    with pytest.raises(retaining.NeedsDirect, match="HEDDLE_DATABASE_DIRECT_URL"):
        retaining.connect(pooled.dsn)

    report = await house.store.retain(runs_days=28, ledger_days=0, weeks_ahead=4)

    assert [each.week for each in report.kept] == ["all"]
