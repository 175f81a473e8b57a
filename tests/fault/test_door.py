"""The door while its database is away: 503 and when to come back, soon; never a hang or an id without a row (B8)."""

import time
import uuid
from collections.abc import Iterator

import pytest

from tests import pg
from tests.fault import door, figures, harness, programs, proxy

# The bar is 5 s; the rest is for a machine that is busy with other things.
REFUSED_WITHIN_S = 5.0 + 5.0
BACK_WITHIN_S = 2.0 + 18.0


@pytest.fixture
def network(database: pg.Database) -> Iterator[proxy.Proxy]:
    made = proxy.Proxy(dsn=database.dsn, seed=programs.seed())
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def web(site: harness.Site, network: proxy.Proxy) -> Iterator[door.Door]:
    made = door.Door(site, database_url=network.dsn, state_dir=site.folder / "state")
    try:
        yield made
    finally:
        made.close()


def ask(web: door.Door, answers: list[door.Answer], count: int) -> None:
    answers += [web.submit("guesses_nothing", {"number": 1}, key=uuid.uuid4().hex) for _ in range(count)]


def test_door_when_the_database_is_cut_off_or_swallows_everything_then_503_soon_and_well_again_after(
    site: harness.Site, network: proxy.Proxy, web: door.Door
) -> None:
    before: list[door.Answer] = []
    during: list[door.Answer] = []
    cut: list[door.Answer] = []
    ask(web, before, 3)

    network.weather = proxy.Weather(cuts_per_s=100.0)
    ask(web, cut, 5)
    network.weather = proxy.Weather()
    ask(web, before, 2)
    network.black_hole()
    ask(web, during, figures.scaled(short=3, full=20))
    ready = web.get("/readyz")
    network.heal()
    healed_s = time.monotonic()
    programs.until(
        lambda: web.submit("guesses_nothing", {"number": 1}, key=uuid.uuid4().hex).status == 202, what="it is well"
    )
    back_s = time.monotonic() - healed_s

    told = [answer.body["id"] for answer in before + cut + during if answer.status in (200, 202)]
    kept = {str(row[0]) for row in site.rows("select id from heddle_run")}
    away = [answer for answer in cut + during if answer.status not in (200, 202)]
    figures.note(
        "B8 door", seed=network.seed, refused=len(away), slowest_refusal_s=max(each.took_s for each in away),
        told_but_not_kept=len(set(told) - kept), back_after_s=back_s, statuses=sorted({each.status for each in away}),
    )  # fmt: skip
    assert {answer.status for answer in before} == {202}
    assert {answer.status for answer in during} == {503}
    assert {answer.status for answer in away} == {503}
    assert all(answer.retry_after and 1 <= int(answer.retry_after) <= 5 for answer in away)
    assert max(answer.took_s for answer in away) <= REFUSED_WITHIN_S
    assert ready.status == 503
    assert set(told) <= kept
    assert back_s <= BACK_WITHIN_S
