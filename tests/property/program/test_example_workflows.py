"""The example's own workflows, killed at every await and with every completion order, plan the same calls.

Models and steps are stood in for by functions that make no picture: a picture's size tells how good it is, by scene and
round, so that the workflow makes weak shots again as it does on photographs.
"""

import dataclasses
import functools
import hashlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from examples.product_shoot import workflows as example
from heddle import Artifact
from heddle.core import faults
from heddle.program import driver, local
from tests.property.program import test_replay as replay

ORDERS_MAX = 200
SIZE_OF_NOTHING_BYTES = 1_000
# Per mille, in rounds 1, 2 and 3; a shot below 650 is made again.
QUALITIES = {
    "marble": (900, 0, 0),
    "wood": (400, 700, 0),
    "pastel": (300, 200, 640),
    "fog": (500, 450, 100),
}


def picture(name: str, *, quality: int = 0) -> Artifact:
    """Give a picture that is as good as it is told to be, in per mille."""
    content = hashlib.sha256(name.encode()).hexdigest()
    return Artifact(sha256=content, media_type="image/jpeg", size_bytes=SIZE_OF_NOTHING_BYTES + quality)


def quality_of(made: Artifact) -> float:
    return (made.size_bytes - SIZE_OF_NOTHING_BYTES) / 1_000


def check_photo(photo: Artifact) -> example.PhotoReport:
    value = quality_of(photo)
    return example.PhotoReport(score=value, is_accepted=value >= 0.5, reasons=[])


def segmenter(image: Artifact) -> example.SegmenterOutput:
    return example.SegmenterOutput(mask=picture(f"mask of {image.id}"))


def backdrop(prompt: str, seed: int, width: int, height: int, output_format: str) -> example.BackdropOutput:
    quality = QUALITIES[prompt][seed // example.SEED_STEP - 1]
    name = f"{prompt} from {seed}, {width} x {height}, {output_format}"
    return example.BackdropOutput(image=picture(name, quality=quality), seed=seed)


def copywriter(brief: str) -> example.CopyOutput:
    return example.CopyOutput(text=brief.upper())


def compose(photo: Artifact, mask: Artifact, scene: Artifact) -> Artifact:
    return dataclasses.replace(picture(f"{photo.id} {mask.id} {scene.id}"), size_bytes=scene.size_bytes)


def score(shot: Artifact, mask: Artifact) -> example.Score:
    return example.Score(value=quality_of(shot), reasons=[mask.id])


def deliver(
    photo: Artifact, photo_score: float, mask: Artifact, shots: list[example.Shot], line: str
) -> example.Delivery:
    sidecar = picture(" ".join([photo.id, *(shot.image.id for shot in shots)]))
    return example.Delivery(photo_score=photo_score, mask=mask, shots=shots, line=line, sidecar=sidecar)


STAND_INS: dict[str, Callable[..., Any]] = {
    "segmenter": segmenter,
    "backdrop": backdrop,
    "copywriter": copywriter,
    "check_photo": check_photo,
    "compose": compose,
    "score": score,
    "deliver": deliver,
}
GOOD_PHOTO = picture("cup", quality=800)
BAD_PHOTO = picture("fog over nothing", quality=200)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run of an example: what it is given, and the signals it gets, each (name, payload)."""

    name: str
    scenes: tuple[str, ...]
    photo: Artifact = GOOD_PHOTO
    is_approval: bool = False
    signals: tuple[tuple[str, str], ...] = ()

    def new_run(self) -> local.LocalRun:
        """Give a run of this case that has not begun."""
        workflow = example.approve_shoot if self.is_approval else example.product_shoot
        run_input = {"photo": self.photo, "scenes": list(self.scenes), "seed": 7}
        return local.LocalRun(workflow, run_input, STAND_INS, signals=dict(self.signals))


ONE_ROUND = Case(name="one-round", scenes=("marble",))
TWO_ROUNDS = Case(name="two-rounds", scenes=("wood", "marble"))
THREE_ROUNDS = Case(name="three-rounds", scenes=("marble", "wood", "pastel", "fog"))
REFUSED = Case(name="photo-refused", scenes=("marble",), photo=BAD_PHOTO)
SAME_SCENE_TWICE = Case(name="same-scene-twice", scenes=("wood", "wood"))
APPROVED = Case(name="approved", scenes=("wood", "pastel"), is_approval=True, signals=(("art_director", "approved"),))
REJECTED = Case(name="rejected", scenes=("wood",), is_approval=True, signals=(("art_director", "rejected"),))
TIMED_OUT = Case(name="timed-out", scenes=("wood",), is_approval=True)
CHILD_FAILED = Case(name="child-failed", scenes=("wood",), photo=BAD_PHOTO, is_approval=True)
CASES = [
    ONE_ROUND, TWO_ROUNDS, THREE_ROUNDS, REFUSED, SAME_SCENE_TWICE, APPROVED, REJECTED, TIMED_OUT, CHILD_FAILED,
]  # fmt: skip


def outcome(finish: Callable[[], object]) -> object:
    """Give what a run ended with: its result, or the fault it failed with."""
    try:
        return finish()
    except local.LocalRunFailed as failed:
        return failed.fault


def reference(case: Case) -> tuple[list[Any], object]:
    """Carry a run to its end without any trouble; give its keys and what it ended with."""
    run = case.new_run()
    result = outcome(lambda: local.finish(run))
    return replay.keys(run), result


def troubled(case: Case, choose: Callable[[list[int]], int]) -> tuple[list[Any], object]:
    """Do the same with every activation lost twice, and calls that end in the chosen order."""
    run = case.new_run()
    result = outcome(lambda: replay.killed_finish(run, choose))
    return replay.keys(run), result


def every_order(case: Case) -> list[tuple[list[Any], object]]:
    """Give what a run planned and ended with, for each order in which its calls can end."""
    found = []
    picks: list[int] = []
    for _ in range(ORDERS_MAX):
        widths: list[int] = []
        found.append(troubled(case, functools.partial(pick, picks=picks, widths=widths)))
        # Count up like an odometer whose wheels are as wide as there were calls to choose from.
        picks += [0] * (len(widths) - len(picks))
        while picks and picks[-1] + 1 == widths[len(picks) - 1]:
            picks.pop()
        if not picks:
            return found
        picks[-1] += 1
    raise AssertionError(f"{case.name} has more than {ORDERS_MAX} orders")


def pick(due: list[int], *, picks: list[int], widths: list[int]) -> int:
    """Choose the due call that the picks name for this moment, else the first; note how many there were."""
    moment = len(widths)
    widths.append(len(due))
    return due[picks[moment] if moment < len(picks) else 0]


@pytest.mark.parametrize(
    ("case", "painted", "rounds"),
    [(ONE_ROUND, 1, [1]), (TWO_ROUNDS, 3, [2, 1]), (THREE_ROUNDS, 9, [1, 2, 3, 1])],
    ids=lambda value: value.name if isinstance(value, Case) else None,
)
def test_product_shoot_when_shots_are_weak_then_only_those_are_made_again_and_the_best_is_delivered(
    case: Case, painted: int, rounds: list[int]
) -> None:
    run = case.new_run()

    delivery = example.product_shoot.output.decode(local.finish(run))

    assert [call.name for call in run.history].count("backdrop") == painted
    assert [shot.round for shot in delivery.shots] == rounds
    assert [shot.scene for shot in delivery.shots] == list(case.scenes)
    assert all(shot.score == max(QUALITIES[shot.scene]) / 1_000 for shot in delivery.shots)


@pytest.mark.parametrize(
    ("case", "delivered"), [(APPROVED, 2), (REJECTED, 0), (TIMED_OUT, 0)], ids=["approved", "rejected", "timed-out"]
)
def test_approve_shoot_when_a_person_decides_or_does_not_then_only_approved_shots_are_delivered(
    case: Case, delivered: int
) -> None:
    run = case.new_run()

    shots = example.approve_shoot.output.decode(local.finish(run))

    assert [call.name for call in run.history] == ["product_shoot", "art_director"]
    assert len(shots) == delivered


@pytest.mark.parametrize("case", [REFUSED, SAME_SCENE_TWICE, CHILD_FAILED], ids=lambda case: case.name)
def test_example_when_it_cannot_be_done_then_it_fails_and_nothing_is_paid_for(case: Case) -> None:
    run = case.new_run()

    failed = outcome(lambda: local.finish(run))

    assert isinstance(failed, faults.StepFault)
    assert failed.fault is faults.Fault.CODE_RAISED
    assert "backdrop" not in [call.name for call in run.history]


@pytest.mark.parametrize("case", [ONE_ROUND, TWO_ROUNDS], ids=lambda case: case.name)
def test_product_shoot_when_killed_at_every_await_in_every_order_then_plans_and_result_are_equal(case: Case) -> None:
    found = every_order(case)

    assert found == [reference(case)] * len(found)
    assert len(found) > 1


@limits(max_examples=100)
@given(case=st.sampled_from(CASES), seed=st.integers(0, 2**32))
def test_example_when_killed_at_every_await_in_any_order_then_plans_and_result_are_equal(case: Case, seed: int) -> None:
    found = troubled(case, random.Random(seed).choice)

    assert found == reference(case)


@limits(max_examples=50)
@given(case=st.sampled_from(CASES), seed=st.integers(0, 2**32))
def test_example_when_outputs_are_not_loaded_then_it_asks_for_them_and_plans_the_same(case: Case, seed: int) -> None:
    run = case.new_run()

    pairs = replay.plans_both_ways(run, random.Random(seed))

    assert replay.keys(run) == reference(case)[0]
    assert all(dataclasses.replace(asked, awaited=full.awaited) == full for asked, full in pairs)


@limits(max_examples=50)
@given(case=st.sampled_from(CASES), seed=st.integers(0, 2**32))
def test_example_when_replayed_from_its_whole_journal_then_nothing_new_is_planned(case: Case, seed: int) -> None:
    run = case.new_run()
    ended = outcome(lambda: local.finish(run, random.Random(seed).choice))

    replayed = driver.activate(run.workflow, run.journal())

    assert replayed.calls == ()
    assert replayed.ending == run.ending
    assert ended == reference(case)[1]
