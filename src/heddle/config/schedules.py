"""Read a schedule as it is written in ``heddle.toml`` or in code: the same checks in the same words.

Neighbours: ``deployment`` and ``program.schedules`` hand the values in, the store writes what comes out.
"""

import re
from collections.abc import Mapping

from heddle.config import zones
from heddle.core import run
from heddle.core.policy import cron, schedule

NAME = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,99}\Z")
NAME_RULE = "1 to 100 of a-z 0-9 _ . - and begin with one of a-z 0-9"
LABELS_MAX = 14
DEADLINE_MAX_S = 31_536_000.0
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-/]{0,63}\Z")
_KEYS = (
    "workflow",
    "cron",
    "time_zone",
    "input",
    "tenant",
    "catch_up",
    "catch_up_max",
    "priority",
    "deadline_s",
    "max_cost_nano_usd",
    "labels",
)


class ScheduleRefused(ValueError):
    """Say which value of a schedule is wrong and what it may be."""


def read(name: str, values: Mapping[str, object]) -> schedule.ScheduleOptions:
    """Make a schedule of what is written of it. Raises ScheduleRefused naming the key."""
    if not NAME.match(name):
        raise ScheduleRefused(f"the name {name!r} must be {NAME_RULE}")
    unknown = set(values) - set(_KEYS)
    if unknown:
        raise ScheduleRefused(f"has the unknown key {min(unknown)!r}; it may have {', '.join(_KEYS)}")
    options = schedule.ScheduleOptions(
        name=name,
        workflow=_text(values, "workflow"),
        cron=_text(values, "cron"),
        time_zone=_text(values, "time_zone", "UTC"),
        input=_table(values, "input"),
        tenant=_text(values, "tenant", "default"),
        catch_up=schedule.CatchUp(_choice(values, "catch_up", "last", [item.value for item in schedule.CatchUp])),
        catch_up_max=int(_number(values, "catch_up_max", 100, 1, schedule.CATCH_UP_MOST, is_whole=True) or 0),
        priority=run.Priority(_choice(values, "priority", "standard", [item.value for item in run.Priority])),
        deadline_s=_number(values, "deadline_s", None, 0.1, DEADLINE_MAX_S),
        max_cost_nano_usd=_cost(values),
        labels=_labels(values),
    )
    try:
        cron.parse(options.cron)
        zones.zone(options.time_zone)
    except cron.CronRefused as error:
        raise ScheduleRefused(f"cron {error}") from error
    except zones.ZoneRefused as error:
        raise ScheduleRefused(f"time_zone {error}") from error
    return options


def _text(values: Mapping[str, object], key: str, default: str | None = None) -> str:
    value = values.get(key, default)
    if value is None:
        raise ScheduleRefused(f"lacks {key}")
    if not isinstance(value, str) or not value or "\x00" in value:
        raise ScheduleRefused(f"{key} is {value!r}; it must be a text that is not empty")
    return value


def _choice(values: Mapping[str, object], key: str, default: str, choices: list[str]) -> str:
    value = values.get(key, default)
    if value not in choices:
        raise ScheduleRefused(f"{key} is {value!r}; it must be one of {', '.join(choices)}")
    return str(value)


def _number(
    values: Mapping[str, object],
    key: str,
    default: float | None,
    low: float,
    high: float,
    *,
    is_whole: bool = False,
) -> float | None:
    value = values.get(key, default)
    if value is None:
        return None
    kinds = (int,) if is_whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        wanted = "a whole number" if is_whole else "a number"
        raise ScheduleRefused(f"{key} is {value!r}; it must be {wanted} from {low:,g} to {high:,g}")
    return value


def _cost(values: Mapping[str, object]) -> int | None:
    value = values.get("max_cost_nano_usd")
    assert value is None or isinstance(value, int), "money is read before it comes here"
    return value


def _table(values: Mapping[str, object], key: str) -> dict[str, object]:
    value = values.get(key, {})
    if not isinstance(value, dict):
        raise ScheduleRefused(f"{key} is {value!r}; it must be a table")
    return dict(value)


def _labels(values: Mapping[str, object]) -> dict[str, str]:
    found = _table(values, "labels")
    for name, value in found.items():
        if not _LABEL.match(name) or not isinstance(value, str) or len(value) > 256 or "\x00" in value:
            raise ScheduleRefused(f"labels has {name!r} = {value!r}; a label is a short name and a short text")
    if len(found) > LABELS_MAX:
        raise ScheduleRefused(f"labels has {len(found)} entries; at most {LABELS_MAX} are kept")
    return {name: str(value) for name, value in found.items()}
