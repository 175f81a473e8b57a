"""Values that hold calls: escapes, references, projections, the public form; options and first states of calls."""

from typing import Any

import pytest

from heddle.core import artifact, plan, run, step
from heddle.core.policy import backoff, retry

PHOTO = artifact.Artifact(sha256="ab" * 32, media_type="image/png", size_bytes=12)
MASK = artifact.Artifact(sha256="cd" * 32, media_type="image/png", size_bytes=7)
StepKind = step.StepKind
StepState = step.StepState


def _call(kind: StepKind = StepKind.STEP, **changes: Any) -> plan.PlannedCall:
    given: dict[str, Any] = {
        "ordinal": 1,
        "kind": kind,
        "name": "score",
        "version": 1,
        "digest": "d",
        "arguments": {},
        "parents": (),
        "options": plan.CallOptions(),
    }
    return plan.PlannedCall(**{**given, **changes})


@pytest.mark.parametrize(
    ("key", "escaped"), [("a", "a"), ("", ""), ("$call", "$$call"), ("$$x", "$$$x"), ("a$", "a$"), ("$", "$$")]
)
def test_escape_when_a_key_begins_with_a_dollar_then_it_gains_one_and_loses_it_again(key: str, escaped: str) -> None:
    assert plan.escape(key) == escaped
    assert plan.unescape(escaped) == key


def test_references_when_calls_are_at_any_depth_then_they_are_found_in_order() -> None:
    value = {"shots": [{"$call": [3, []]}, {"$call": [1, ["k"]]}], "mask": {"deep": {"$call": [3, []]}}, "n": 5}

    assert list(plan.references(value)) == [3, 1, 3]


def test_references_when_a_user_wrote_the_mark_himself_then_it_is_none() -> None:
    assert list(plan.references({plan.escape(plan.CALL): [3, []]})) == []


def test_artifacts_when_at_any_depth_then_they_are_found_in_order() -> None:
    value = {"photo": PHOTO.as_json(), "more": [1, [MASK.as_json()]], "$$artifact": "sha256:no"}

    assert list(plan.artifacts(value)) == [PHOTO, MASK]


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ([], {"shots": [{"url": "u", "$$call": 7}]}),
        (["shots"], [{"url": "u", "$$call": 7}]),
        (["shots", 0, "url"], "u"),
        (["shots", -1, "url"], "u"),
        (["shots", 0, "$call"], 7),
    ],
)
def test_project_then_the_named_part_is_taken(path: list[str | int], part: Any) -> None:
    assert plan.project({"shots": [{"url": "u", "$$call": 7}]}, path) == part


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (["masks"], r"the output has no 'masks' \(stopped at 'masks'\)"),
        (["shots", 1], r"the output has no 'shots\.1' \(stopped at 1\)"),
        (["shots", "url"], r"stopped at 'url'"),
        (["shots", 0, "url", "host"], r"stopped at 'host'"),
        (["none", "x"], r"stopped at 'x'"),
        ([0], r"stopped at 0"),
    ],
)
def test_project_when_the_part_is_missing_then_the_place_is_named(path: list[str | int], sentence: str) -> None:
    with pytest.raises(plan.ProjectionMissing, match=sentence):
        plan.project({"shots": [{"url": "u"}], "none": None}, path)


def test_resolve_when_a_value_holds_calls_then_their_outputs_stand_there_and_the_rest_is_untouched() -> None:
    value = {
        "image": PHOTO.as_json(),
        "mask": {"$call": [2, ["mask", 0]]},
        "$$call": [9, []],
        "list": [{"$call": [4, []]}],
    }
    outputs = {2: {"mask": [MASK.as_json()]}, 4: None}

    resolved = plan.resolve(value, outputs.__getitem__)

    assert resolved == {"image": PHOTO.as_json(), "mask": MASK.as_json(), "$$call": [9, []], "list": [None]}


def test_resolve_when_an_output_looks_like_a_call_then_it_is_not_resolved_again() -> None:
    assert plan.resolve({"$call": [2, []]}, lambda ordinal: {"$$call": [ordinal, []]}) == {"$$call": [2, []]}


def test_public_then_escapes_are_gone_and_artifacts_are_ids() -> None:
    shown = plan.public({"$$call": [1], "photo": PHOTO.as_json(), "deep": [{"$$artifact": 1}]})

    assert shown == {"$call": [1], "photo": PHOTO.as_public_json(), "deep": [{"$artifact": 1}]}


@pytest.mark.parametrize(
    "options",
    [
        plan.CallOptions(),
        plan.CallOptions(timeout_s=20.0),
        plan.CallOptions(delay_s=0.0),
        plan.CallOptions(detach=True, memory_bytes=1 << 30),
        plan.CallOptions(retry=retry.RetryOptions(max_attempts=7)),
        plan.CallOptions(
            timeout_s=0.1,
            retry=retry.RetryOptions(retry_after_max_s=5.0, waits=backoff.BackoffOptions(cap_s=3.0)),
            detach=True,
            memory_bytes=1,
            delay_s=86_400.0,
        ),
    ],
)
def test_options_when_stored_then_they_are_read_back_equal(options: plan.CallOptions) -> None:
    assert plan.CallOptions.from_json(options.as_json()) == options


def test_options_when_they_are_the_defaults_then_nothing_is_stored() -> None:
    assert plan.CallOptions().as_json() == {}
    assert plan.CallOptions.from_json(None) == plan.CallOptions()


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (StepKind.STEP, StepState.DUE),
        (StepKind.MODEL, StepState.DUE),
        (StepKind.WORKFLOW, StepState.WAITING),
        (StepKind.SLEEP, StepState.WAITING),
        (StepKind.SIGNAL, StepState.WAITING),
        (StepKind.NOW, StepState.SUCCEEDED),
    ],
)
def test_first_state_when_every_parent_is_over_then_it_depends_on_the_kind(kind: StepKind, state: StepState) -> None:
    assert plan.first_state(_call(kind), is_every_parent_over=True) is state


@pytest.mark.parametrize("kind", [StepKind.STEP, StepKind.MODEL, StepKind.WORKFLOW])
def test_first_state_when_a_parent_is_open_then_the_call_is_blocked(kind: StepKind) -> None:
    assert plan.first_state(_call(kind), is_every_parent_over=False) is StepState.BLOCKED


def test_lane_of_then_it_is_kind_name_version_and_class() -> None:
    lane = plan.lane_of(_call(StepKind.MODEL, name="relight", version=2), run.Priority.BATCH)

    assert lane == ("model", "relight", 2, "batch")
