"""A workflow whose types break ends its own run, and takes no other with it."""

from typing import Any, cast

import pydantic

import heddle
from heddle.core import faults, plan
from heddle.engine import activate
from heddle.program import registry
from tests.unit.program import journals


class Touchy(pydantic.BaseModel):
    """A result whose author's check breaks."""

    text: str

    @pydantic.model_validator(mode="before")
    @classmethod
    def look_up(cls, value: Any) -> Any:
        return {"known": value}[str(value)]


async def told() -> Touchy:
    return cast("Touchy", {"text": "x"})


async def well() -> str:
    return "fine"


def test_activate_when_the_check_of_a_result_breaks_then_its_run_fails_and_the_next_goes_on() -> None:
    with registry.isolated():
        workflows = [heddle.workflow(name=f"activate.{each.__name__}")(each) for each in (told, well)]
        progress = activate._Progress()

        activate._activate_all([journals.journal(each) for each in workflows], progress, lambda: 0.0)

    broken, fine = progress.plans
    assert isinstance(broken.ending, plan.Raised)
    assert broken.ending.fault.fault is faults.Fault.CODE_RAISED
    assert "KeyError" in broken.ending.fault.message
    assert fine.ending == plan.Returned(shape="fine", refs=())
