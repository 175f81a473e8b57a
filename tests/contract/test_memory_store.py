"""The store in memory keeps the promises of ``store_suite``, and has every statement that the executors name."""

import ast
import pathlib
import random

import pytest

from heddle import store as store_room
from heddle.store import statements
from heddle.testing.memory import store as memory_store
from tests.contract import (
    memory_house,
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

# Statements of the machinery of a database, which no promise of the ports is about.
NOT_PROMISED = {"session_own", "planner", "session"}
# What docs/simulation.md says is not simulated: asked for, it raises NotSimulated.
NOT_SIMULATED = {"apply_schedule", "apply_schedules_rest", "pause_schedule"}
EXECUTORS = (
    *("postgres", "planning", "plan_arrays", "schedule", "django", "admitting", "apply", "pulse"),
    *(
        "again",
        "chains",
        "calling",
        "delivering",
        "late",
        "limits",
        "load",
        "quotas",
        "reserving",
        "routing",
        "session",
    ),
    *("stopping", "timing", "why"),
)


@pytest.fixture
def house() -> memory_house.MemoryHouse:
    return memory_house.MemoryHouse()


class TestSubmit(store_suite.SubmitSuite):
    """Submit in memory."""


class TestStop(store_suite.StopSuite):
    """Stop in memory."""


class TestFailure(store_suite.FailureSuite):
    """Failure in memory."""


class TestPage(store_work_suite.PageSuite):
    """Pages of calls."""


class TestWait(store_work_suite.WaitSuite):
    """Waiting in memory."""


class TestTimer(store_timer_suite.TimerSuite):
    """Timers that cannot be carried out, in memory."""


class TestAgain(store_again_suite.AgainSuite):
    """Runs tried again, with those below them, in memory."""


class TestDirect(store_direct_suite.DirectSuite):
    """Steps leased as they are planned, in memory."""


class TestWaited(store_waited_suite.WaitedSuite):
    """Calls that somebody waits for, in memory."""


class TestRace(store_race_suite.RaceSuite):
    """Races in memory."""


class TestChain(store_race_suite.ChainSuite):
    """Chains of runs in memory."""


class TestGoneFirst(store_chain_suite.GoneFirstSuite):
    """Chains whose first run has gone, in memory."""


class TestMoney(store_money_suite.MoneySuite):
    """Money on memory."""


class TestListed(store_listed_suite.ListedSuite):
    """Money on memory."""


class TestGivenUp(store_given_up_suite.GivenUpSuite):
    """What is heard of given up attempts in memory."""


class TestLate(store_late_suite.LateSuite):
    """Early and late words in memory."""


class TestCall(store_call_suite.CallSuite):
    """Runs that are one call, in memory."""


class TestReuse(store_reuse_suite.ReuseSuite):
    """Results of equal calls, in memory."""


class TestRoute(store_route_suite.RouteSuite):
    """Routes in memory."""


class TestLease(store_work_suite.LeaseSuite):
    """Leases in memory."""


class TestPost(store_outbox_suite.PostSuite):
    """What customers are told, in memory."""


class TestTake(store_outbox_suite.TakeSuite):
    """Events leased and written, in memory."""


class TestKeep(store_outbox_keep_suite.KeepSuite):
    """Events counted, given up and pruned, in memory."""


def test_statements_then_memory_has_every_one_that_an_executor_names() -> None:
    folder = pathlib.Path(store_room.__file__).parent
    texts = {
        node.value
        for name in EXECUTORS
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    assert texts & set(statements.names()) - NOT_PROMISED - NOT_SIMULATED <= set(memory_store.STATEMENTS)
    assert not NOT_SIMULATED & set(memory_store.STATEMENTS)


def test_rows_when_a_statement_is_not_simulated_then_it_says_so() -> None:
    memory = memory_store.Memory(now_s=lambda: 0.0, rng=random.Random(1))

    with pytest.raises(memory_store.NotSimulated, match="operation_add"):
        memory.rows("operation_add", {})


def test_statements_then_each_has_a_file_of_its_name() -> None:
    assert set(memory_store.STATEMENTS) <= set(statements.names())
