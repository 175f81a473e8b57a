"""heddle.map calls once for each item, in chunks, with so many in flight and no more, whatever ends first."""

import random
import uuid

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

import heddle
from heddle.core import faults, plan, step
from heddle.program import local, mapping, registry
from tests.property.program import workflows


@heddle.workflow(name="map.each")
async def each(numbers: list[int], chunk: int, in_flight_max: int, max_failed: int) -> list[int | None]:
    """Map a step over numbers."""
    found: list[int | None] = await heddle.map(
        workflows.fragile, numbers, chunk=chunk, in_flight_max=in_flight_max, max_failed=max_failed
    )
    return found


@heddle.workflow(name="map.edge")
async def edge(picture: str) -> list[str]:
    """Map a model over the part of a result, and pass the value on without waiting for it."""
    made = workflows.sheet(picture=picture, made_at=await heddle.now())
    shots = heddle.map(workflows.relight, made.layers, over="image", given={"mask": "m", "scene": "s"})
    return [shots[0], shots[2]]


@heddle.workflow(name="map.children")
async def children(numbers: list[int]) -> list[list[int | None]]:
    """Map a workflow, each with options of its own."""
    lists = [numbers, numbers[:1]]
    given_besides = {"chunk": 2, "in_flight_max": 2, "max_failed": 9}
    found: list[list[int | None]] = await heddle.map(each.options(timeout_s=60.0), lists, given=given_besides)
    return found


def journal(items: object, entries: dict[int, plan.JournalEntry], planned: int, **more: int) -> plan.Journal:
    """Give the journal of a map run."""
    given_input = {
        "kind": "step",
        "name": "replay.fragile",
        "options": {},
        "over": "number",
        "given": {},
        "items": items,
        "chunk": 200,
        "in_flight_max": 1_000,
        "max_failed": 0,
        **more,
    }
    return plan.Journal(
        run_id=uuid.UUID(int=1),
        workflow=mapping.NAME,
        version=1,
        input=given_input,
        entries=entries,
        patches=frozenset(),
        now_s=0.0,
        planned=planned,
    )


@limits(max_examples=60, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 9), max_size=40),
    chunk=st.integers(1, 7),
    in_flight_max=st.integers(1, 9),
    seed=st.integers(0, 2**32),
)
def test_map_when_items_end_in_any_order_then_every_one_is_called_once_and_never_too_many_at_a_time(
    numbers: list[int], chunk: int, in_flight_max: int, seed: int
) -> None:
    rng = random.Random(seed)
    entries: dict[int, plan.JournalEntry] = {}
    succeeded: set[int] = set()
    planned = 0
    for _ in range(500):
        open_entries = {ordinal: entry for ordinal, entry in entries.items() if ordinal not in succeeded}
        made = mapping.activate(
            journal(numbers, open_entries, planned, chunk=min(chunk, in_flight_max), in_flight_max=in_flight_max),
            newest_version=registry.newest_version,
        )
        assert [call.ordinal for call in made.calls] == list(range(planned + 1, planned + 1 + len(made.calls)))
        assert [call.arguments for call in made.calls] == [{"number": numbers[call.ordinal - 1]} for call in made.calls]
        assert len(made.calls) <= chunk
        planned += len(made.calls)
        for call in made.calls:
            entries[call.ordinal] = plan.JournalEntry(
                ordinal=call.ordinal, kind=call.kind, name=call.name, digest=call.digest, state=step.StepState.DUE
            )
        flying = [ordinal for ordinal in entries if ordinal not in succeeded]
        assert len(flying) <= in_flight_max
        if not isinstance(made.ending, plan.Suspended):
            break
        assert sorted(made.ending.need.ordinals) == sorted(flying)
        succeeded.update(rng.sample(flying, made.ending.need.count))

    assert isinstance(made.ending, plan.Returned)
    assert made.ending.refs == tuple(range(1, len(numbers) + 1))
    assert made.ending.shape == [{plan.CALL: [ordinal, []]} for ordinal in range(1, len(numbers) + 1)]


@limits(max_examples=40, deadline=None)
@given(numbers=st.lists(st.integers(0, 9), max_size=12), max_failed=st.integers(0, 4), seed=st.integers(0, 2**32))
def test_map_when_some_fail_then_they_are_none_or_the_map_fails_naming_the_first(
    numbers: list[int], max_failed: int, seed: int
) -> None:
    given_input = {"numbers": numbers, "chunk": 3, "in_flight_max": 5, "max_failed": max_failed}
    run = local.LocalRun(each, given_input, {})
    odd = sum(number % 2 for number in numbers)

    if odd > max_failed:
        with pytest.raises(local.LocalRunFailed, match=r"item \d+ of heddle.map over replay.fragile failed"):
            local.finish(run, random.Random(seed).choice)
    else:
        found = local.finish(run, random.Random(seed).choice)
        assert found == [None if number % 2 else number * 10 for number in numbers]
    assert len(run.history) == 1


def test_map_when_it_is_over_a_call_then_its_value_is_an_edge_too() -> None:
    run = local.LocalRun(edge, {"picture": "p"}, workflows.MODELS)

    found = local.finish(run)

    assert len(found) == 2
    assert all(isinstance(item, str) for item in found)
    assert [call.name for call in run.history] == ["now", "replay.sheet", "heddle.map"]


def test_map_when_it_is_of_workflows_then_each_item_is_a_run() -> None:
    assert local.run_locally(children, {"numbers": [2, 3, 4]}) == [[20, None, 40], [20]]


@pytest.mark.parametrize(("items", "told"), [({"a": 1}, "an object"), ("abc", "a text"), (7, "a number")])
def test_map_when_the_call_gave_no_list_then_the_fault_says_what_it_gave(items: object, told: str) -> None:
    made = mapping.activate(journal(items, {}, 0), newest_version=registry.newest_version)

    assert isinstance(made.ending, plan.Raised)
    assert made.ending.fault.fault is faults.Fault.BAD_OUTPUT
    assert told in made.ending.fault.message


def test_map_when_there_are_too_many_items_then_it_is_refused_with_what_to_do() -> None:
    made = mapping.activate(journal([1] * 10_001, {}, 0), newest_version=registry.newest_version)

    assert isinstance(made.ending, plan.Raised)
    assert made.ending.fault.fault is faults.Fault.TOO_LARGE
    assert "at most 10,000 items, not 10,001" in made.ending.fault.message
    with pytest.raises(local.LocalRunFailed, match="at most 10,000 items, not 10,001"):
        local.run_locally(each, {"numbers": [2] * 10_001, "chunk": 1, "in_flight_max": 1, "max_failed": 0})


def test_map_when_ten_thousand_calls_are_open_then_no_plan_has_more_than_a_chunk() -> None:
    sizes, planned = [], 0
    for _ in range(200):
        made = mapping.activate(journal([2] * 10_000, {}, planned), newest_version=registry.newest_version)
        planned += len(made.calls)
        sizes.append(len(made.calls))
        if isinstance(made.ending, plan.Returned):
            break

    assert planned == 10_000
    assert max(sizes) == 200


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"chunk": 0}, "chunk is a count of 1 to 1,000, not 0"),
        ({"in_flight_max": 5_000}, "in_flight_max is a count of 1 to 2,000"),
        ({"max_failed": -1}, "max_failed is a count of 0 to 10,000"),
        ({"over": "other"}, "over is 'other'; replay.fragile takes number"),
        ({"given": {"number": 1}}, "number is what each item is given as"),
    ],
)
def test_map_when_an_option_is_wrong_then_it_is_named(wrong: dict[str, object], told: str) -> None:
    options = {"over": None, "given": {}, "chunk": 1, "in_flight_max": 1, "max_failed": 0, **wrong}
    with pytest.raises(ValueError, match=told):
        mapping.arguments_of(workflows.fragile, [1], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("items", ["abc", b"abc", {"a": 1}, 7, None])
def test_map_when_items_are_no_list_then_it_is_refused_at_its_line(items: object) -> None:
    with pytest.raises(TypeError, match="takes a list of items"):
        mapping.arguments_of(
            workflows.fragile,
            items,  # type: ignore[arg-type]
            over=None,
            given={},
            chunk=1,
            in_flight_max=1,
            max_failed=0,
        )
