"""The forms that are not calls of own code, on the first pass and on replay."""

import datetime
from collections.abc import Iterator

import pytest

import heddle
from heddle.core import plan, step
from heddle.program import driver, registry
from tests.unit.program import journals, shapes


@pytest.fixture(autouse=True)
def _own_names() -> Iterator[None]:
    with registry.isolated():
        yield


def test_all_of_when_one_more_than_allowed_has_failed_then_it_raises_the_same_failure_on_every_replay() -> None:
    @heddle.workflow
    async def group() -> str:
        calls = [shapes.double(number) for number in range(3)]
        try:
            await heddle.all_of(calls)
        except heddle.StepFailed as error:
            return f"call {error.ordinal}"
        return "not reached"

    calls = journals.first_plan(group).calls
    early = journals.by_ordinal(
        journals.entry(calls[0], step.StepState.DUE),
        journals.failed(calls[1]),
        journals.entry(calls[2], step.StepState.DUE),
    )
    planned = driver.activate(group, journals.journal(group, entries=early))
    late = {**early, 1: journals.failed(calls[0])}
    replayed = driver.activate(group, journals.journal(group, entries=late, patches=frozenset(planned.patches)))

    assert planned.ending == replayed.ending == plan.Returned(shape="call 2", refs=())
    assert planned.handled == (1, 2, 3)


def test_all_of_when_failures_are_allowed_then_it_waits_for_all_and_gives_none_for_them() -> None:
    @heddle.workflow
    async def tolerant() -> list[int | None]:
        return await heddle.all_of((shapes.double(number) for number in range(3)), max_failed=1)

    first = journals.first_plan(tolerant)
    calls = first.calls
    entries = journals.by_ordinal(
        journals.succeeded(calls[0], 0), journals.failed(calls[1]), journals.succeeded(calls[2], 4)
    )
    partly = {**entries, 3: journals.entry(calls[2], step.StepState.PENDING)}

    suspended = driver.activate(tolerant, journals.journal(tolerant, entries=partly))
    ended = driver.activate(tolerant, journals.journal(tolerant, entries=entries))

    assert first.ending == plan.Suspended(need=plan.Need(ordinals=(1, 2, 3), count=3, max_failed=1))
    assert suspended.ending == plan.Suspended(need=plan.Need(ordinals=(3,), count=1, max_failed=0))
    assert ended.ending == plan.Returned(shape=[0, None, 4], refs=())


def test_projection_when_passed_on_and_awaited_then_both_see_the_same_part() -> None:
    @heddle.workflow
    async def projects() -> int:
        value = shapes.parts()
        shapes.double(value["$a"][1])
        return int(await value["$a"][0])

    first, second = journals.first_plan(projects).calls
    entries = journals.by_ordinal(journals.succeeded(first, {"$$a": [1, 2]}), journals.succeeded(second, 4))

    planned = driver.activate(projects, journals.journal(projects, entries=entries))

    assert second.arguments == {"number": {"$call": [1, ["$a", 1]]}}
    assert plan.resolve(second.arguments, lambda _: {"$$a": [1, 2]}) == {"number": 2}
    assert planned.ending == plan.Returned(shape=1, refs=())


def test_now_when_awaited_then_it_is_the_journals_time_at_once_and_on_replay() -> None:
    @heddle.workflow
    async def clocked() -> datetime.datetime:
        return await heddle.now()

    first = journals.first_plan(clocked)
    entries = journals.by_ordinal(journals.succeeded(first.calls[0], "2020-01-01T00:00:00.000000Z"))

    replayed = driver.activate(clocked, journals.journal(clocked, entries=entries))

    assert first.calls[0].kind is step.StepKind.NOW
    assert first.calls[0].output == "2025-06-15T15:06:40.250000Z"
    assert first.ending == plan.Returned(shape="2025-06-15T15:06:40.250000+00:00", refs=())
    assert replayed.ending == plan.Returned(shape="2020-01-01T00:00:00+00:00", refs=())


def test_random_when_replayed_then_it_draws_the_same_and_differs_at_each_asking() -> None:
    @heddle.workflow
    async def chances() -> list[float]:
        return [heddle.random().random(), heddle.random().random()]

    first, second = journals.first_plan(chances), journals.first_plan(chances)

    assert first == second
    assert isinstance(first.ending, plan.Returned)
    assert first.ending.shape[0] != first.ending.shape[1]


def test_sleep_and_signal_then_their_times_are_options_so_that_changing_them_changes_no_digest() -> None:
    @heddle.workflow
    async def waits(seconds: float) -> None:
        heddle.sleep(seconds)
        heddle.signal("go", timeout_s=seconds)

    short, long = (journals.first_plan(waits, {"seconds": seconds}).calls for seconds in (1, 2))

    assert [(call.kind, call.name, call.options.delay_s) for call in short] == [
        (step.StepKind.SLEEP, "sleep", 1.0),
        (step.StepKind.SIGNAL, "go", 1.0),
    ]
    assert [call.digest for call in short] == [call.digest for call in long]


@heddle.workflow(name="forms.patching")
async def patching() -> list[bool]:
    """Ask for a patch before and after a call."""
    before = heddle.patched("early")
    shapes.double(1)
    return [before, heddle.patched("late"), heddle.patched("late"), heddle.patched("early")]


def test_patched_when_the_run_is_new_then_it_is_taken_and_written_down() -> None:
    planned = journals.first_plan(patching)

    assert planned.ending == plan.Returned(shape=[True, True, True, True], refs=())
    assert planned.patches == ("early", "late")


def test_patched_when_the_run_had_passed_the_place_then_the_old_way_is_kept_for_the_whole_run() -> None:
    entries = journals.by_ordinal(journals.succeeded(journals.first_plan(patching).calls[0], 2))

    old = driver.activate(patching, journals.journal(patching, entries=entries))
    new = driver.activate(patching, journals.journal(patching, entries=entries, patches=frozenset({"early", "late"})))

    assert old.ending == plan.Returned(shape=[False, True, True, False], refs=())
    assert old.patches == ("late",)
    assert new.ending == plan.Returned(shape=[True, True, True, True], refs=())
    assert new.patches == ()


def test_child_when_a_workflow_is_called_then_the_newest_version_is_pinned_and_its_result_typed() -> None:
    @heddle.workflow(name="child", version=1)
    async def old_child(number: int) -> int:
        return number

    @heddle.workflow(name="child", version=3)
    async def new_child(number: int) -> int:
        return number

    @heddle.workflow
    async def parent() -> None:
        old_child(number=shapes.double(1))
        await old_child.options(detach=True)(2)

    planned = journals.first_plan(parent)

    assert [(call.kind, call.version, call.parents) for call in planned.calls[1:]] == [
        (step.StepKind.WORKFLOW, 3, (1,)),
        (step.StepKind.WORKFLOW, 3, ()),
    ]
    assert planned.calls[2].options.detach


def test_options_when_given_for_one_call_then_they_are_its_own() -> None:
    @heddle.workflow
    async def tuned() -> None:
        shapes.double.options(timeout_s=1.5, retry=heddle.Retry(max_attempts=7), detach=True)(1)
        shapes.double(1)

    tuned_call, plain_call = journals.first_plan(tuned).calls

    assert (tuned_call.options.timeout_s, tuned_call.options.retry.max_attempts, tuned_call.options.detach) == (
        1.5,
        7,
        True,
    )
    assert tuned_call.options.memory_bytes == plain_call.options.memory_bytes == 1 << 28
    assert not plain_call.options.detach
    assert tuned_call.digest == plain_call.digest
