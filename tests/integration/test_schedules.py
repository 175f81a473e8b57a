"""Schedules start each of their times once, whoever looks, and what they missed as their policy says."""

import asyncio
import datetime
import itertools
from typing import Annotated, Any

import pydantic
import pytest

import heddle
from heddle import wiring
from heddle.config import deployment
from heddle.core.policy import schedule as policy
from heddle.engine import recur
from heddle.ports import recurring
from heddle.program import registry
from heddle.store import apply
from heddle.store import recurring as recurring_store
from tests.races import fixtures, scene
from tests.races.scene import House

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house
house = fixtures.house


@heddle.workflow(name="schedules.report")
async def report(brand: str, days: int = 1) -> str:
    """Report on a brand."""
    return f"{brand} {days}"


def _raises(value: str) -> str:
    raise LookupError(f"no brand {value!r}")


@heddle.workflow(name="schedules.picky")
async def picky(brand: Annotated[str, pydantic.AfterValidator(_raises)]) -> str:
    """Take a brand whose type raises what pydantic does not expect."""
    return brand


def deployed(text: str) -> list[policy.ScheduleOptions]:
    """Read the schedules of a file."""
    return list(deployment.parse(text, file="heddle.toml").schedules.values())


def hourly(name: str = "nightly", **more: str) -> list[policy.ScheduleOptions]:
    """Describe a schedule that starts a report every minute."""
    lines = {"catch_up": '"last"', "input": '{ brand = "maison" }', **more}
    keys = "\n".join(f"{key} = {value}" for key, value in lines.items())
    return deployed(f'[schedules.{name}]\nworkflow = "schedules.report"\ncron = "* * * * *"\n{keys}\n')


def write(house: House, wanted: list[policy.ScheduleOptions], *, is_whole: bool = True) -> None:
    """Write schedules as a migration does."""
    with house.connection.transaction(), house.connection.cursor() as cursor:
        apply.apply_schedules(cursor, wanted, is_whole=is_whole)


def set_back(house: House, minutes: float) -> None:
    """Let the next time of every schedule have come so long ago."""
    house.connection.execute(
        "update heddle_schedule set next_at = date_trunc('minute', now()) - make_interval(mins => %s)", (minutes,)
    )


async def looked(house: House, *, late_s: float = 90.0, workflows: tuple[str, ...] = ("schedules.report",)) -> Any:
    """Look once, as a worker does."""
    limits = wiring.house_settings()
    parts = type("Parts", (), {"settings": type("S", (), {"schedule_late_s": late_s})(), "limits": limits})()
    recurrer = recur.Recurrer(parts, None)  # type: ignore[arg-type]
    return await house.store.recur(workflows=workflows, behind_s=0.0, limit=10, decide=recurrer._decide)


@pytest.fixture(autouse=True)
def _clean(house: House) -> None:
    house.connection.execute("delete from heddle_schedule")


async def test_recur_when_a_time_has_come_then_one_run_is_started_with_its_input_and_labels(house: House) -> None:
    write(house, hourly(deadline_s="60", priority='"batch"', max_cost_usd='"1.5"'))
    set_back(house, 0)

    found = await looked(house)

    assert found.schedules == (("schedules.report", 1, 0, None),)
    assert 0 < found.next_in_s <= 60
    ((run_id, workflow, given, labels, priority, cap, has_deadline),) = house.rows(
        "select id, workflow, input, labels, priority, max_cost_nano_usd, deadline_at is not null from heddle_run"
    )
    assert (workflow, given, priority, cap, has_deadline) == (
        "schedules.report",
        {"brand": "maison", "days": 1},
        "batch",
        1_500_000_000,
        True,
    )
    assert labels["heddle/schedule"] == "nightly"
    (view,) = await scene.in_thread(lambda: house.doors().schedules(tenant=house.tenant, after="", limit=50))
    assert (view.last_run, view.fired, view.missed, view.problem) == (run_id, 1, 0, None)
    assert labels["heddle/scheduled_for"] == f"{view.last_at:%Y-%m-%dT%H:%M:%SZ}"


async def test_recur_when_eight_look_at_once_then_no_time_is_started_twice_and_none_is_left_out(house: House) -> None:
    names = [f"s{number}" for number in range(5)]
    for name in names:
        write(house, hourly(name, catch_up='"all"'), is_whole=False)
    set_back(house, 6)

    for _ in range(3):
        await asyncio.gather(*(looked(house) for _ in range(8)))

    found = house.rows("select labels ->> 'heddle/schedule', labels ->> 'heddle/scheduled_for' from heddle_run")
    assert len(found) == len(set(found))
    times = {name: sorted(datetime.datetime.fromisoformat(at) for own, at in found if own == name) for name in names}
    for came in times.values():
        assert len(came) in (7, 8)
        gaps = {(later - earlier).total_seconds() for earlier, later in itertools.pairwise(came)}
        assert gaps == {60.0}


@pytest.mark.parametrize(("catch_up", "started", "missed"), [("skip", 0, 11), ("last", 1, 10), ("all", 3, 8)])
async def test_recur_when_nobody_was_there_then_the_policy_says_what_is_started(
    house: House, catch_up: str, started: int, missed: int
) -> None:
    write(house, hourly(catch_up=f'"{catch_up}"', catch_up_max="3"))
    house.connection.execute(
        "update heddle_schedule set cron = '0 * * * *', next_at = date_trunc('hour', now()) - interval '10 hours'"
    )
    minute = house.value("select extract(minute from now())::int")

    found = await looked(house, late_s=1.0)

    on_time = 1 if minute == 0 else 0
    ((_, fired, left, _),) = found.schedules
    assert fired + left == started + missed
    assert fired in (started, started + on_time)


async def test_recur_when_much_is_due_at_once_then_it_is_started_in_several_transactions(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring_store, "RUNS_AT_ONCE", 4)
    every = [hourly(name, catch_up='"all"', catch_up_max="3") for name in ("a", "b", "c")]
    write(house, [options for found in every for options in found])
    set_back(house, 60)

    first, second, third = [await looked(house, late_s=1.0) for _ in range(3)]

    assert [len(found.schedules) for found in (first, second, third)] == [2, 1, 0]
    assert first.next_in_s < 0
    assert house.value("select min(fired) from heddle_schedule") == 3


async def test_recur_when_it_is_set_back_after_it_was_started_then_nothing_is_started_again(house: House) -> None:
    write(house, hourly())
    set_back(house, 0)
    await looked(house)

    set_back(house, 0)
    await looked(house)

    times = house.rows("select labels ->> 'heddle/scheduled_for' from heddle_run")
    assert len(times) == len(set(times))


async def test_recur_when_the_transaction_fails_then_neither_runs_nor_the_move_are_there(house: House) -> None:
    write(house, hourly())
    set_back(house, 0)

    def dies(_: recurring.DueSchedule) -> recurring.Decided:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        await house.store.recur(workflows=("schedules.report",), behind_s=0.0, limit=10, decide=dies)
    before = house.value("select count(*) from heddle_run")
    found = await looked(house)

    assert before == 0
    assert found.started == 1


async def test_recur_when_the_workflow_is_not_loaded_here_then_it_is_left_to_those_who_have_it(house: House) -> None:
    write(house, hourly())
    set_back(house, 0)

    elsewhere = await looked(house, workflows=("other",))

    assert elsewhere == recurring.Recurred(schedules=(), next_in_s=None)
    assert (await looked(house)).started == 1


async def test_recur_when_the_input_does_not_fit_then_the_time_is_missed_and_the_schedule_says_why(
    house: House,
) -> None:
    write(house, hourly(input='{ brnd = "maison" }'))
    set_back(house, 0)

    found = await looked(house)

    ((_, started, missed, problem),) = found.schedules
    assert (started, missed) == (0, 1)
    assert "brand" in str(problem)
    (view,) = await scene.in_thread(lambda: house.doors().schedules(tenant=house.tenant, after="", limit=50))
    assert view.problem == problem


async def test_recur_when_a_type_of_the_input_raises_then_the_schedule_says_why_and_others_go_on(house: House) -> None:
    write(house, [*hourly("a"), *hourly("b")])
    house.connection.execute("update heddle_schedule set workflow = 'schedules.picky' where name = 'a'")
    set_back(house, 0)

    found = await looked(house, workflows=("schedules.report", "schedules.picky"))

    assert [(started, missed) for _, started, missed, _ in found.schedules] == [(0, 1), (1, 0)]
    assert "LookupError: no brand 'maison'" in str(found.schedules[0][3])


async def test_recur_when_the_time_zone_is_gone_then_it_is_looked_at_later_and_others_go_on(house: House) -> None:
    write(house, [*hourly("a"), *hourly("b")])
    house.connection.execute("update heddle_schedule set time_zone = 'Europe/Atlantis' where name = 'a'")
    set_back(house, 0)

    found = await looked(house)

    assert found.started == 1
    assert [problem is None for _, _, _, problem in found.schedules] == [False, True]


async def test_pause_when_asked_then_nothing_is_started_until_it_goes_on(house: House) -> None:
    write(house, hourly())
    set_back(house, 0)

    await scene.in_thread(lambda: house.doors().pause_schedule(tenant=house.tenant, name="nightly", is_paused=True))
    paused = await looked(house)
    await scene.in_thread(lambda: house.doors().pause_schedule(tenant=house.tenant, name="nightly", is_paused=False))

    assert paused.started == 0
    assert (await looked(house)).started == 1
    with pytest.raises(LookupError):
        await scene.in_thread(lambda: house.doors().pause_schedule(tenant=house.tenant, name="x", is_paused=True))


async def test_apply_when_nothing_changed_then_the_next_time_is_kept_and_when_the_cron_did_it_is_new(
    house: House,
) -> None:
    write(house, hourly())
    set_back(house, 5)
    before = house.value("select next_at from heddle_schedule")

    write(house, hourly(catch_up='"all"'))
    kept = house.value("select next_at from heddle_schedule")
    write(house, hourly(time_zone='"Europe/Paris"'))
    moved = house.value("select next_at from heddle_schedule")
    write(house, [])

    assert kept == before
    assert moved > kept
    assert house.rows("select is_enabled from heddle_schedule") == [(False,)]
    assert (await looked(house)).started == 0


async def test_schedule_when_code_declares_it_then_it_is_checked_at_once() -> None:
    with registry.isolated():
        options = heddle.schedule(
            "weekly",
            workflow=report,
            cron="0 9 * * mon",
            time_zone="Europe/Paris",
            input={"brand": "maison"},
            catch_up="skip",
            max_cost_usd="2.50",
        )
        assert registry.schedules() == [options]
        assert wiring.schedules(deployment.EMPTY) == [options]
        clash = deployment.Deployment(
            models={}, endpoints={}, scopes={}, routes=(), tenants={}, schedules={"weekly": options}
        )
        with pytest.raises(deployment.DeploymentRefused, match="'weekly' is in the file and declared by code"):
            wiring.schedules(clash)

    assert (options.max_cost_nano_usd, options.input) == (2_500_000_000, {"brand": "maison", "days": 1})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"cron": "0 0 31 2 *"}, "cron is '0 0 31 2 \\*', which never comes"),
        ({"time_zone": "Mars/Olympus"}, "time_zone is 'Mars/Olympus', which is no time zone"),
        ({"catch_up": "both"}, "catch_up is 'both'; it must be one of skip, last, all"),
        ({"catch_up_max": 0}, "catch_up_max is 0; it must be a whole number from 1 to 1,000"),
        ({"deadline_s": -1}, "deadline_s is -1; it must be a number from 0.1"),
        ({"priority": "high"}, "priority is 'high'"),
        ({"input": {}}, "brand"),
        ({"max_cost_usd": "lots"}, "max_cost_usd is 'lots'"),
        ({"labels": {"a b": "c"}}, "labels has 'a b'"),
    ],
)
async def test_schedule_when_a_value_is_wrong_then_it_is_refused_by_its_name(wrong: dict[str, Any], told: str) -> None:
    given = {"cron": "@daily", "input": {"brand": "maison"}, **wrong}
    with registry.isolated(), pytest.raises(heddle.RegistrationRefused, match=told):
        heddle.schedule("nightly", workflow=report, **given)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[schedules.x]\nworkflow = "w"\ncron = "0 0 30 2 *"', r"heddle.toml: \[schedules.x\] cron is .* never comes"),
        ('[schedules.x]\ncron = "@daily"', r"\[schedules.x\] lacks workflow"),
        ('[schedules.x]\nworkflow = "w"\ncron = "@daily"\nevery = 1', "unknown key 'every'"),
        ('[schedules.x]\nworkflow = "w"\ncron = "@daily"\nmax_cost_usd = 1', "max_cost_usd is 1"),
        ('[schedules."X y"]\nworkflow = "w"\ncron = "@daily"', "must be 1 to 100"),
    ],
)
async def test_file_when_a_schedule_is_wrong_then_the_sentence_names_file_table_and_key(text: str, told: str) -> None:
    with pytest.raises(deployment.DeploymentRefused, match=told):
        deployed(text)
