"""Whatever a step or a workflow does, its run ends with the place named, and the worker lives and serves the others."""

import pytest

from tests.fault import harness, programs

# step, fault, what the message must name
CASES = [
    ("segfaults", "code_crashed", "segfaults"),
    ("eats_memory", "code_raised", "MemoryError"),
    ("never_returns", "code_raised", "did not end within 0.5 s"),
    ("never_returns_async", "code_raised", "did not end within 0.5 s"),
    ("returns_wrong_type", "bad_output", "returns_wrong_type"),
    ("returns_lock", "bad_output", "returns_lock"),
    ("returns_too_much", "too_large", "returns_too_much"),
    ("returns_nul", "bad_output", "returns_nul"),
    ("returns_surrogate", "bad_output", "returns_surrogate"),
    ("raises_nul", "code_raised", "raises_nul"),
    ("raises", "code_raised", "number 1 is not liked"),
]


@pytest.fixture(scope="module")
def worker(site: harness.Site) -> programs.Program:
    return site.start_worker("bad-steps")


@pytest.mark.parametrize(("step", "fault", "said"), CASES, ids=[case[0] for case in CASES])
def test_bad_step_when_run_then_its_run_fails_with_the_place_named(
    site: harness.Site, worker: programs.Program, step: str, fault: str, said: str
) -> None:
    run = site.ended(site.submit(f"runs_{step}", number=1))[0]

    assert (run.state, run.error is not None and run.error["fault"]) == ("failed", fault), run.error
    assert said in str(run.error)
    assert worker.is_up()


def test_garbage_printer_when_run_then_its_result_stands(site: harness.Site, worker: programs.Program) -> None:
    run = site.ended(site.submit("runs_prints_garbage", number=7))[0]

    assert (run.state, run.output) == ("succeeded", 7)


def test_poisoned_results_when_settled_with_good_ones_then_no_good_run_is_lost(
    site: harness.Site, worker: programs.Program
) -> None:
    poisoned = [site.submit("runs_returns_nul", number=n) for n in range(3)]
    good = [site.submit("sums", number=n) for n in range(10)]

    runs = site.ended(*poisoned, *good)

    assert [run.state for run in runs] == ["failed"] * 3 + ["succeeded"] * 10


def test_workflow_when_it_plans_what_cannot_be_kept_then_it_fails_and_the_others_go_on(
    site: harness.Site, worker: programs.Program
) -> None:
    poisoned = site.submit("plans_nul", number=1)
    good = [site.submit("sums", number=n) for n in range(5)]

    first, *others = site.ended(poisoned, *good)

    assert first.state == "failed"
    assert [run.output for run in others] == [2 * n + 3 for n in range(5)]


def test_workflow_when_it_holds_its_thread_then_it_is_blocked_and_the_others_go_on(
    site: harness.Site, worker: programs.Program
) -> None:
    blocked = site.submit("blocks", number=1)
    good = [site.submit("sums", number=n) for n in range(5)]

    first, *others = site.ended(blocked, *good)

    assert first.error is not None
    assert first.error["fault"] == "workflow_blocked"
    assert "tests/fault/workflows.py" in first.error["where"]
    assert [run.output for run in others] == [2 * n + 3 for n in range(5)]
    assert not worker.said("lease.released"), "those in line behind it were forgotten"


def test_workflow_when_it_raises_then_its_run_fails_and_its_calls_stop(
    site: harness.Site, worker: programs.Program
) -> None:
    run = site.ended(site.submit("raises_itself", number=3))[0]

    assert run.state == "failed"
    assert "no 3 here" in str(run.error)
    assert [step.state for step in site.steps(run.id)] in ([], ["cancelled"])


def test_unknown_version_when_submitted_then_it_waits_and_why_names_it(
    site: harness.Site, worker: programs.Program
) -> None:
    run_id = site.submit("sums", version=77, number=1)
    site.ended(site.submit("sums", number=1))

    assert site.run(run_id).state == "queued"
    assert "sums" in site.why(run_id)
    assert "77" in site.why(run_id)
