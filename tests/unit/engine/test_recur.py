"""A schedule whose input breaks its author's check is missed and says why; it does not stop the others."""

import datetime
import types
from typing import cast

import pydantic

import heddle
from heddle.config import settings
from heddle.engine import parts as parts_module
from heddle.engine import recur, sweep
from heddle.ports import recurring
from heddle.program import registry

NOW = datetime.datetime(2026, 11, 29, 12, 0, 30, tzinfo=datetime.UTC)


class Touchy(pydantic.BaseModel):
    """An input whose author's check breaks."""

    brand: str

    @pydantic.field_validator("brand")
    @classmethod
    def look_up(cls, value: str) -> str:
        return {"known": value}[value]


async def report(given: Touchy) -> str:
    return given.brand


def test_schedule_when_the_check_of_its_input_breaks_then_its_time_is_missed_and_it_says_why() -> None:
    parts = types.SimpleNamespace(settings=settings.Settings())
    recurrer = recur.Recurrer(cast("parts_module.Parts", parts), cast("sweep.Sweeper", types.SimpleNamespace()))
    due = recurring.DueSchedule(
        name="hourly",
        workflow="recur.report",
        input={"given": {"brand": "acme"}},
        cron="0 * * * *",
        time_zone="UTC",
        catch_up="all",
        catch_up_max=1,
        next_at=NOW.replace(second=0),
        now=NOW,
    )

    with registry.isolated():
        heddle.workflow(name="recur.report")(report)
        decided = recurrer._decide(due)

    assert (decided.times, decided.missed) == ((), 1)
    assert decided.problem == "the input could not be checked: KeyError: 'acme'"
    assert decided.next_at > NOW
