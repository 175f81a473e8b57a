"""A real worker, PostgreSQL and vendors' twins: what was bought is paid once, whatever became of the answer."""

import importlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from heddle.program import registry as programs
from heddle.twins.kit import faults
from tests import pg
from tests.integration import twin_site, twin_workflows

pytestmark = pytest.mark.asyncio(loop_scope="module")
PICTURE = {"prompt": "espresso on marble", "output_format": "png"}
PRICE_NANO_USD = 3_000_000
REPLICATE: Mapping[str, Any] = {
    "vendor": "replicate",
    "given": {"model_name": "black-forest-labs/flux-schnell", "poll_after_s": 0.2, "lookup_bound_s": 60},
    "price_nano_usd": PRICE_NANO_USD,
    "callback_secret": "env:HOOK",
    "latency_s": 0.3,
}
COG: Mapping[str, Any] = {
    "vendor": "cog",
    "given": {"mode": "stream", "poll_after_s": 0.2},
    "secret": None,
    "latency_s": 0.1,
}
CLAUDE: Mapping[str, Any] = {
    "vendor": "anthropic",
    "given": {"model_name": "claude-opus-5-5", "stream": True},
    "price_nano_usd": PRICE_NANO_USD,
    "latency_s": 0.05,
}
MESSAGE = {"max_tokens": 100, "messages": [{"role": "user", "content": "Describe espresso on marble."}]}


@pytest.fixture(scope="module", autouse=True)
def workflows() -> Iterator[None]:
    """Register the workflow for this file only."""
    with programs.isolated():
        importlib.reload(twin_workflows)
        yield


async def test_picture_when_ordered_then_made_and_booked_as_the_twin_was_paid(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    async with twin_site.selling(database, tmp_path, **REPLICATE) as site, site.working():
        run_id = await site.submit("twin.call", given=PICTURE)
        await site.ended(run_id)

        assert site.spent(run_id) == ("succeeded", PRICE_NANO_USD)
        assert (site.books().paid, site.books().paid_nano_usd) == (1, PRICE_NANO_USD)


async def test_picture_when_the_answer_to_its_order_is_cut_then_its_webhook_finds_it_and_it_is_paid_once(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    rates = faults.Rates(cut=1.0, callback_forged=1.0, callback_duplicated=1.0)
    async with (
        twin_site.selling(database, tmp_path, **REPLICATE, rates=rates, cut_at_bytes=40) as site,
        site.working(),
    ):
        run_id = await site.submit("twin.call", given=PICTURE)
        await site.ended(run_id)

        assert site.spent(run_id) == ("succeeded", PRICE_NANO_USD)
        assert site.books().paid == 1


async def test_picture_when_answer_and_webhook_are_both_lost_then_unknown_and_never_bought_again(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    rates = faults.Rates(cut=1.0, callback_lost=1.0)
    async with twin_site.selling(database, tmp_path, **REPLICATE, rates=rates) as site, site.working():
        run_id = await site.submit("twin.call", given=PICTURE)
        await site.until("select count(*) from heddle_step where run_id = %s and state = 'unknown'", run_id)
        await twin_site.until(lambda: site.there.twin.jobs.open_count == 0)  # made, and nobody was told

        assert site.spent(run_id) == ("running", 0)
        assert site.books().paid == 1


async def test_pictures_when_everything_goes_wrong_at_once_then_each_is_made_and_paid_once(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    rates = faults.Rates(
        throttled=0.2, cut=0.3, ask_failed=0.2, callback_duplicated=0.3, callback_late=0.2, callback_forged=0.3
    )
    async with (
        twin_site.selling(database, tmp_path, **REPLICATE, rates=rates, late_s=0.5, seed=11) as site,
        site.working(),
    ):
        run_ids = [await site.submit("twin.call", given={"prompt": f"espresso {number}"}) for number in range(12)]
        for run_id in run_ids:
            await site.ended(run_id)

        assert [site.spent(run_id) for run_id in run_ids] == [("succeeded", PRICE_NANO_USD)] * 12
        assert site.books().paid == 12


async def test_predictions_when_results_are_cut_then_repeated_under_their_ids_until_one_arrives(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    async with (
        twin_site.selling(database, tmp_path, **COG, rates=faults.Rates(cut=0.4), seed=5, cut_at_bytes=90) as site,
        site.working(),
    ):
        run_ids = [await site.submit("twin.call", given={"prompt": f"onions {number}"}) for number in range(6)]
        for run_id in run_ids:
            await site.ended(run_id)
        plan, runs = site.there.twin.plan, site.books().payments

        assert [site.spent(run_id)[0] for run_id in run_ids] == ["succeeded"] * 6
        assert len(runs) == 6
        assert runs == {key: cuts_before_the_first_answer(plan, key) + 1 for key in runs}


def cuts_before_the_first_answer(plan: faults.Plan, key: str) -> int:
    """A container forgets a prediction with its result, so each lost result, and nothing else, is one more run."""
    fates = (faults.request_fault(plan=plan, key=key, count=count, now_s=0.0) for count in range(100))
    return next(number for number, fate in enumerate(fates) if fate is None)


async def test_messages_when_asked_then_booked_at_what_their_tokens_cost(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    rates = faults.Rates(throttled=0.3)
    async with twin_site.selling(database, tmp_path, **CLAUDE, rates=rates, seed=2) as site, site.working():
        run_ids = [await site.submit("twin.call", given={**MESSAGE, "system": f"{number}"}) for number in range(4)]
        for run_id in run_ids:
            await site.ended(run_id)

        spent = [site.spent(run_id) for run_id in run_ids]
        assert [state for state, _ in spent] == ["succeeded"] * 4
        assert sum(cost for _, cost in spent) == site.books().paid_nano_usd


async def test_message_when_its_answer_is_cut_then_unknown_and_never_bought_again(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    rates = faults.Rates(cut=1.0)
    async with (
        twin_site.selling(database, tmp_path, **CLAUDE, rates=rates, cut_at_bytes=900) as site,
        site.working(),
    ):
        run_id = await site.submit("twin.call", given=MESSAGE)
        await site.until("select count(*) from heddle_step where run_id = %s and state = 'unknown'", run_id)

        assert site.spent(run_id) == ("running", 0)
        assert site.books().paid == 1
