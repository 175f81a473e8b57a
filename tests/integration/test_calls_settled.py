"""The result of a run that is one call: the short statement writes what the long one does, and leaves the rest."""

import dataclasses
import uuid
from typing import Any

import psycopg
import pytest

from tests.integration import at_once
from tests.integration.at_once import TOLD, deploy, one, take
from tests.races import scene

house = at_once.house


def written(connection: psycopg.Connection[Any], run_id: uuid.UUID) -> dict[str, Any]:
    """Give everything that is stored of a run, but for what differs between any two."""
    apart = {
        "id",
        "run_id",
        "fence",
        "at",
        "created_at",
        "started_at",
        "finished_at",
        "sent_at",
        "send_by",
        "deadline_at",
        "worker_id",
        "seq_at",
        "claimed_at",
        "next_at",
    }
    found: dict[str, Any] = {}
    for table, key in {
        "run": "id",
        "step": "run_id",
        "attempt": "run_id",
        "ledger": "run_id",
        "event": "run_id",
        "outbox": "run_id",
    }.items():
        cursor = connection.execute(f"select * from heddle_{table} where {key} = %s order by 1, 2, 3", (run_id,))  # type: ignore[arg-type]
        names = [column.name for column in cursor.description or ()]
        rows = [
            {name: (value is not None) if name in apart else value for name, value in zip(names, row, strict=True)}
            for row in cursor.fetchall()
        ]
        found[table] = sorted(rows, key=str)
    found["left"] = connection.execute(
        "select (select count(*) from heddle_timer), (select count(*) from heddle_slot), "
        "(select count(*) from heddle_lease)"
    ).fetchall()
    return found


ANSWERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cheaper": {"cost_nano_usd": 1},
    "dearer": {"cost_nano_usd": 5 * scene.COST_NANO_USD},
    "as reserved": {"cost_nano_usd": None, "is_billed": True},
    "by another tier": {"tier": 1},
    "with what was used": {"tokens": 7, "images": 2, "latency_s": 0.5, "is_throttled": True, "told": TOLD % (50, 3)},
}


@pytest.mark.parametrize("what", ANSWERS)
async def test_settle_when_a_run_is_one_call_then_the_short_statement_writes_what_the_long_one_does(
    house: scene.House, what: str
) -> None:
    deploy(
        house, scope={"tokens_per_min": 10**6, "tokens_burst": 10**6, "images_per_min": 10**6, "images_burst": 10**6}
    )
    seen = []
    for is_whole in (True, False):
        house.connection.execute("delete from heddle_limit_delta")
        claimed = await take(house, deadline_s=600.0, webhook_url="https://example.org/hook")
        settled = dataclasses.replace(scene.done(claimed, output={"a": [1, "ü"]}), is_whole=is_whole, **ANSWERS[what])
        report = await house.settle(settled)
        deltas = house.connection.execute(
            "select epoch, released, ok, failed, silent, throttled, finished, finished_s, tokens, tokens_used, "
            "tokens_calls, images, dimension, limit_per_min, remaining, told_until is not null, "
            "empty_until is not null from heddle_limit_delta order by 1, 2"
        ).fetchall()
        ended = [(each.workflow, each.state, each.priority, each.run_id == claimed.run_id) for each in report.ended]
        counts = (report.settled, report.fenced, report.readied, report.timed, ended, report.charged)
        seen.append((written(house.connection, claimed.run_id), deltas, counts))

    for part in seen[0][0]:
        assert seen[0][0][part] == seen[1][0][part], part
    assert seen[0][1:] == seen[1][1:]
    assert seen[0][0]["run"][0]["state"] == "succeeded"


UNPLAIN = {
    "it is being stopped": "update heddle_run set stopping = 'cancelled'",
    "its lease is another's": "update heddle_lease set fence = fence + 1",
    "its outcome was given up": "update heddle_attempt set state = 'unknown'",
}


@pytest.mark.parametrize("what", UNPLAIN)
async def test_settle_when_a_result_is_not_as_plain_as_it_seemed_then_the_long_statement_writes_it(
    house: scene.House, what: str
) -> None:
    deploy(house)
    plain, odd = await take(house), await take(house)
    house.connection.execute(
        f"{UNPLAIN[what]} where {'id' if 'run set' in UNPLAIN[what] else 'run_id'} = %s", (odd.run_id,)
    )  # type: ignore[arg-type]

    report = await house.settle(scene.done(plain), scene.done(odd))

    assert (await house.shown(plain.run_id)).state.value == "succeeded"
    assert plain.run_id in {each.run_id for each in report.ended}
    (state, cost) = one(house, f"select state, cost_nano_usd from heddle_attempt where run_id = '{odd.run_id}'")
    assert (state, cost) == ("late" if what == "its lease is another's" else "done", scene.COST_NANO_USD)
