"""The store's promises on PostgreSQL: see ``tests.contract.store_suite``; after each test the tables agree with each
other.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.contract import (
    store_again_suite,
    store_call_suite,
    store_chain_suite,
    store_direct_suite,
    store_given_up_suite,
    store_late_suite,
    store_listed_suite,
    store_money_suite,
    store_outbox_keep_suite,
    store_outbox_suite,
    store_race_suite,
    store_reuse_suite,
    store_route_suite,
    store_suite,
    store_timer_suite,
    store_waited_suite,
    store_work_suite,
)
from tests.races import fixtures, invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house


@pytest_asyncio.fixture(loop_scope="module")
async def house(open_house: scene.House) -> AsyncIterator[scene.House]:
    open_house.wipe()
    yield open_house
    assert not invariants.broken(open_house.connection)


class TestSubmit(store_suite.SubmitSuite):
    """Submit on PostgreSQL."""


class TestHostTransaction(store_suite.HostTransactionSuite):
    """Submit inside the host's transaction, on PostgreSQL."""


class TestStop(store_suite.StopSuite):
    """Stop on PostgreSQL."""


class TestStoppedJob(store_race_suite.StoppedJobSuite):
    """Jobs of stopped calls on PostgreSQL."""


class TestRace(store_race_suite.RaceSuite):
    """Races on PostgreSQL."""


class TestChain(store_race_suite.ChainSuite):
    """Chains of runs on PostgreSQL."""


class TestGoneFirst(store_chain_suite.GoneFirstSuite):
    """Chains whose first run has gone, on PostgreSQL."""


class TestFailure(store_suite.FailureSuite):
    """Failure on PostgreSQL."""


class TestPage(store_work_suite.PageSuite):
    """Pages of calls."""


class TestWait(store_work_suite.WaitSuite):
    """Waiting on PostgreSQL."""


class TestTimer(store_timer_suite.TimerSuite):
    """Timers that cannot be carried out, on PostgreSQL."""


class TestAgain(store_again_suite.AgainSuite):
    """Runs tried again, with those below them, on PostgreSQL."""


class TestDirect(store_direct_suite.DirectSuite):
    """Steps leased as they are planned, on PostgreSQL."""


class TestWaited(store_waited_suite.WaitedSuite):
    """Calls that somebody waits for, on PostgreSQL."""


class TestMoney(store_money_suite.MoneySuite):
    """Money on PostgreSQL."""


class TestListed(store_listed_suite.ListedSuite):
    """Money on PostgreSQL."""


class TestGivenUp(store_given_up_suite.GivenUpSuite):
    """What is heard of given up attempts on PostgreSQL."""


class TestLate(store_late_suite.LateSuite):
    """Early and late words on PostgreSQL."""


class TestCall(store_call_suite.CallSuite):
    """Runs that are one call."""


class TestReuse(store_reuse_suite.ReuseSuite):
    """Results of equal calls."""


class TestRoute(store_route_suite.RouteSuite):
    """Routes on PostgreSQL."""


class TestLease(store_work_suite.LeaseSuite):
    """Leases on PostgreSQL."""


class TestPost(store_outbox_suite.PostSuite):
    """What customers are told, on PostgreSQL."""


class TestTake(store_outbox_suite.TakeSuite):
    """Events leased and written, on PostgreSQL."""


class TestKeep(store_outbox_keep_suite.KeepSuite):
    """Events counted, given up and pruned, on PostgreSQL."""
