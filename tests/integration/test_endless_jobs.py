"""A job that its provider never ends is asked after for a bounded time; then a person is asked.

Real workers, PostgreSQL and a simulated seller whose job never leaves the queue.
"""

import pathlib

import pytest

from heddle.twins.kit import faults
from tests import pg
from tests.integration import town, working

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONFIG = """
[models.endless]
[endpoints.there]
adapter = "simulator"
url = "$there"
secret = "env:KEY"
price = "list"
poll_after_s = 0.1
[[routes]]
model = "endless"
endpoint = "there"
"""
EIGHT_DAYS_AGO = "update heddle_attempt set sent_at = sent_at - interval '8 days' where run_id = %s"


async def test_job_when_it_never_ends_then_a_person_is_asked_and_its_slot_is_let_go(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    there = town.Seller(rates=faults.Rates(stuck=1.0))
    async with town.opened(database, tmp_path, CONFIG, there=there) as site:
        async with working.working(site.lean_parts()):
            (run_id,) = await site.buy("endless")
            await site.until("select state = 'pending' from heddle_step where run_id = %s", run_id)
            with database.connect() as connection:
                connection.execute(EIGHT_DAYS_AGO, [run_id])
            await site.until("select state = 'unknown' from heddle_step where run_id = %s", run_id)

        with database.connect() as connection:
            note = connection.execute("select note from heddle_step where run_id = %s", [run_id]).fetchone()
            left = connection.execute(
                "select (select count(*) from heddle_slot where run_id = %(run)s),"
                " (select count(*) from heddle_timer where run_id = %(run)s)",
                {"run": run_id},
            ).fetchone()

        assert note is not None
        assert "within 7 days" in note[0]
        assert left == (0, 0)
