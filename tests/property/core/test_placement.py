"""For any graph of calls over any past: what waits is counted, what is started may start, and nothing is forgotten."""

import dataclasses

import hypothesis
from hypothesis import strategies as st

from heddle.core import placement, plan, step
from tests.unit.core import plans

LAW = hypothesis.settings(max_examples=80, derandomize=True, deadline=None)
FAILED = {step.StepState.FAILED, step.StepState.CANCELLED, step.StepState.SKIPPED}
KINDS = st.sampled_from([step.StepKind.STEP, step.StepKind.MODEL, step.StepKind.WORKFLOW])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One plan over one past."""

    old: dict[int, step.StepState]
    calls: tuple[plan.PlannedCall, ...]
    ending: plan.Suspended | plan.Returned

    @property
    def open_calls(self) -> int:
        return sum(1 for state in self.old.values() if state not in step.TERMINAL)

    def place(self) -> placement.Placement:
        standing = plans.standing(self.old, open_calls=self.open_calls)
        return placement.place(plans.made(*self.calls, ending=self.ending), standing)


@st.composite
def cases(draw: st.DrawFn, *, is_suspended: bool | None = None) -> Case:
    old = dict(enumerate(draw(st.lists(st.sampled_from(step.StepState), max_size=5)), start=1))
    calls = []
    for ordinal in range(len(old) + 1, len(old) + 1 + draw(st.integers(0, 8))):
        parents = draw(st.sets(st.integers(1, ordinal - 1), max_size=4)) if ordinal > 1 else set()
        calls.append(plans.call(ordinal, *sorted(parents), kind=draw(KINDS)))
    known = len(old) + len(calls)
    wanted = tuple(sorted(draw(st.sets(st.integers(1, known), max_size=5)))) if known else ()
    ending: plan.Suspended | plan.Returned = plan.Returned(shape=None, refs=wanted)
    if is_suspended is None:
        is_suspended = draw(st.booleans())
    if wanted and is_suspended:
        count = draw(st.integers(1, len(wanted)))
        ending = plans.suspended(*wanted, count=count, max_failed=draw(st.none() | st.integers(0, 3)))
    return Case(old=old, calls=tuple(calls), ending=ending)


def _states(case: Case, placed: placement.Placement) -> dict[int, step.StepState]:
    return {**case.old, **{item.call.ordinal: item.state for item in placed.calls}}


@LAW
@hypothesis.given(case=cases())
def test_blockers_count_the_parents_that_have_not_ended(case: Case) -> None:
    placed = case.place()

    states = _states(case, placed)
    for item in placed.calls:
        unfinished = sum(1 for parent in item.call.parents if states[parent] not in step.TERMINAL)
        assert item.blockers == (0 if item.state is step.StepState.SKIPPED else unfinished)


@LAW
@hypothesis.given(case=cases())
def test_nothing_starts_before_every_parent_has_succeeded_and_everything_else_starts(case: Case) -> None:
    placed = case.place()

    states = _states(case, placed)
    for item in placed.calls:
        has_all = all(states[parent] is step.StepState.SUCCEEDED for parent in item.call.parents)
        assert (item.state in (step.StepState.DUE, step.StepState.WAITING)) == has_all


@LAW
@hypothesis.given(case=cases())
def test_a_call_is_skipped_with_its_reason_exactly_if_a_parent_failed_or_was_skipped(case: Case) -> None:
    placed = case.place()

    states = _states(case, placed)
    for item in placed.calls:
        is_lost = any(states[parent] in FAILED for parent in item.call.parents)
        assert (item.state is step.StepState.SKIPPED) == is_lost
        assert (item.fault is not None) == is_lost


@LAW
@hypothesis.given(case=cases())
def test_children_and_edges_are_the_inverse_of_parents_that_have_not_succeeded(case: Case) -> None:
    placed = case.place()

    states = _states(case, placed)
    drawn = {(item.call.ordinal, child) for item in placed.calls for child in item.children} | set(placed.edges)
    wanted = {
        (parent, item.call.ordinal)
        for item in placed.calls
        for parent in item.call.parents
        if states[parent] is not step.StepState.SUCCEEDED
    }
    assert drawn == wanted
    assert len(placed.edges) == len(set(placed.edges))
    assert all(parent in case.old for parent, _ in placed.edges)


@LAW
@hypothesis.given(case=cases())
def test_what_is_opened_is_what_has_not_ended(case: Case) -> None:
    placed = case.place()

    assert placed.opened == sum(1 for item in placed.calls if item.state not in step.TERMINAL)
    assert [item.call for item in placed.calls] == list(case.calls)


@LAW
@hypothesis.given(case=cases(is_suspended=True))
def test_a_suspended_function_sleeps_only_while_something_open_can_still_wake_it(case: Case) -> None:
    hypothesis.assume(isinstance(case.ending, plan.Suspended))
    assert isinstance(case.ending, plan.Suspended)
    placed = case.place()

    states, need = _states(case, placed), case.ending.need
    ended = [ordinal for ordinal in need.ordinals if states[ordinal] in step.TERMINAL]
    failed = [ordinal for ordinal in ended if states[ordinal] in FAILED]
    is_worth_it = len(ended) >= need.count or (need.max_failed is not None and len(failed) > need.max_failed)
    assert placed.is_woken == is_worth_it
    assert placed.is_woken or len(need.ordinals) - len(ended) >= placed.await_left > 0
    assert not placed.is_over


@LAW
@hypothesis.given(case=cases(is_suspended=False))
def test_a_returned_function_ends_its_run_when_nothing_is_open_and_not_before(case: Case) -> None:
    assert isinstance(case.ending, plan.Returned)
    placed = case.place()

    states = _states(case, placed)
    assert placed.is_over == all(state in step.TERMINAL for state in states.values())
    assert placed.is_broken == any(states[ordinal] in FAILED for ordinal in case.ending.refs)


@LAW
@hypothesis.given(case=cases())
def test_the_calls_that_are_named_are_all_that_a_placement_looks_at(case: Case) -> None:
    made = plans.made(*case.calls, ending=case.ending)
    seen = {ordinal: case.old[ordinal] for ordinal in placement.named(made)}

    placed = placement.place(made, plans.standing(seen, open_calls=case.open_calls))

    assert placed == case.place()


@LAW
@hypothesis.given(
    waiting=st.lists(st.sampled_from(["approved", "retouched"]), max_size=6),
    buffered=st.dictionaries(st.sampled_from(["approved", "retouched", "other"]), st.integers(0, 4)),
)
def test_each_buffered_signal_ends_one_call_the_oldest_first(waiting: list[str], buffered: dict[str, int]) -> None:
    calls = [
        plans.call(ordinal, kind=step.StepKind.SIGNAL, name=name, delay_s=60.0)
        for ordinal, name in enumerate(waiting, start=1)
    ]

    placed = plans.place(*calls, standing=plans.standing(signals=buffered))

    for name in set(waiting):
        delays = [timer.delay_s for timer in placed.timers if waiting[timer.ordinal - 1] == name]
        taken = min(len(delays), buffered.get(name, 0))
        assert delays == [0.0] * taken + [60.0] * (len(delays) - taken)
