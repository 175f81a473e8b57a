"""What becomes of a provider's result that the model's declaration, or the size of a row, does not allow."""

import json
from typing import Any

import pydantic
import pytest

import heddle
from heddle.core import artifact, faults, settle
from heddle.engine import quality, results
from heddle.program import registry
from tests.unit.engine import claims

LARGE = {"text": "x" * 100_000}


class Shelf:
    """Keep what is written."""

    def __init__(self, *, is_full: bool = False) -> None:
        self.kept: list[bytes] = []
        self._is_full = is_full

    async def read(self, reference: artifact.Artifact) -> bytes:
        raise AssertionError("nothing is read")

    async def write(self, chunks: Any, *, media_type: str | None) -> artifact.Artifact:
        if self._is_full:
            raise OSError("no space left on device")
        self.kept.append(chunks)
        return artifact.Artifact(sha256="a" * 64, media_type="application/json", size_bytes=len(chunks))


def claimed() -> Any:
    return claims.claimed(name="results_model")._replace(kind="model", name="results_model")


async def judge(output: Any, shelf: Shelf) -> settle.Outcome:
    with registry.isolated():
        heddle.model("results_model")
        return await results.kept(claimed(), settle.Completed(output=output, cost_nano_usd=7), shelf)


async def test_result_when_it_is_too_large_for_a_row_then_it_is_kept_as_an_artifact_that_the_fault_names() -> None:
    shelf = Shelf()

    outcome = await judge(LARGE, shelf)

    assert isinstance(outcome, settle.Faulted)
    assert (outcome.fault.fault, outcome.billed_nano_usd) == (faults.Fault.TOO_LARGE, 7)
    assert "sha256:aaaa" in outcome.fault.message
    assert json.loads(shelf.kept[0]) == LARGE


async def test_result_when_it_cannot_be_kept_then_the_fault_says_so() -> None:
    outcome = await judge(LARGE, Shelf(is_full=True))

    assert isinstance(outcome, settle.Faulted)
    assert "could not be kept as an artifact: no space left" in outcome.fault.message


async def test_result_when_it_fits_then_it_is_the_output() -> None:
    assert await judge({"text": "x"}, Shelf()) == settle.Completed(output={"text": "x"}, cost_nano_usd=7)


@pytest.mark.parametrize("lie", ["x", 5, "sha256:zz", None])
async def test_result_when_it_is_marked_as_an_artifact_and_names_none_then_it_is_bad_output_that_was_paid_for(
    lie: Any,
) -> None:
    outcome = await judge({"images": [{artifact.MARK: lie}]}, Shelf())

    assert isinstance(outcome, settle.Faulted)
    assert (outcome.fault.fault, outcome.billed_nano_usd) == (faults.Fault.BAD_OUTPUT, 7)
    assert quality.found({"images": [{artifact.MARK: lie}]}) == []


class Touchy(pydantic.BaseModel):
    """A type whose author's check breaks."""

    text: str

    @pydantic.field_validator("text")
    @classmethod
    def look_up(cls, value: str) -> str:
        return {"known": value}[value]


async def test_result_when_the_check_of_its_type_breaks_then_it_is_bad_and_paid_for_and_not_unknown() -> None:
    with registry.isolated():
        heddle.model("results_model", output=Touchy)
        outcome = results.checked(claimed(), settle.Completed(output={"text": "x"}, cost_nano_usd=7))

    assert isinstance(outcome, settle.Faulted)
    assert (outcome.fault.fault, outcome.billed_nano_usd) == (faults.Fault.BAD_OUTPUT, 7)
    assert "KeyError: 'x'" in outcome.fault.message
