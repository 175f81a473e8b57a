"""Authors run their workflows in a plain test."""

import asyncio
from collections.abc import Iterator

import pytest

import heddle
from heddle.core import faults
from heddle.program import errors, local, registry

enhance = heddle.model("local.enhance")


@pytest.fixture(autouse=True)
def _own_names() -> Iterator[None]:
    with registry.isolated():
        yield


@heddle.step(name="local.rate")
async def rate(image: str) -> float:
    """Rate a picture."""
    await asyncio.sleep(0)
    return len(image) / 10


@heddle.step(name="local.publish")
def publish(image: str) -> str:
    """Refuse to publish what is not good."""
    if "bad" in image:
        raise ValueError("not that one")
    return f"published {image}"


@heddle.workflow(name="local.gallery")
async def gallery(image: str, wait_s: float = 5.0) -> tuple[str, float]:
    """Enhance, ask, publish."""
    enhanced = enhance(image=image)
    verdict = await heddle.signal("verdict", timeout_s=wait_s)
    if verdict["ok"]:
        return publish(enhanced["image"]), rate(enhanced["image"])  # type: ignore[return-value]
    return "kept", 0.0


MODELS = {"local.enhance": lambda image: {"image": f"{image}+"}}


def test_run_when_everything_works_then_the_result_is_of_the_annotated_type() -> None:
    result = local.run_locally(gallery, {"image": "rose"}, MODELS, signals={"verdict": {"ok": True}})

    assert result == ("published rose+", 0.5)


def test_run_when_a_step_is_replaced_then_the_replacement_is_used() -> None:
    replaced = {**MODELS, "local.publish": lambda image: f"pretended {image}"}

    result = local.run_locally(gallery, {"image": "bad"}, replaced, signals={"verdict": {"ok": True}})

    assert result[0] == "pretended bad+"


def test_run_when_a_step_raises_then_it_fails_with_the_fault() -> None:
    with pytest.raises(local.LocalRunFailed, match="ValueError: not that one") as failed:
        local.run_locally(gallery, {"image": "bad"}, MODELS, signals={"verdict": {"ok": True}})

    assert failed.value.fault.fault is faults.Fault.CODE_RAISED


def test_run_when_the_signal_does_not_come_then_the_deadline_is_the_fault() -> None:
    with pytest.raises(local.LocalRunFailed) as failed:
        local.run_locally(gallery, {"image": "rose"}, MODELS)

    assert failed.value.fault.fault is faults.Fault.DEADLINE


def test_run_when_a_model_has_no_implementation_then_it_says_which() -> None:
    with pytest.raises(errors.NotRegistered, match=r"local\.enhance"):
        local.run_locally(gallery, {"image": "rose"}, signals={"verdict": {"ok": True}})


def test_run_when_the_input_does_not_fit_then_the_field_is_named() -> None:
    with pytest.raises(heddle.InputRefused, match="image: Field required"):
        local.run_locally(gallery, {}, MODELS)


async def test_run_when_started_in_a_loop_with_async_steps_then_it_says_so() -> None:
    with pytest.raises(local.LocalRunFailed, match="call it from a plain test"):
        local.run_locally(gallery, {"image": "rose"}, MODELS, signals={"verdict": {"ok": True}})
