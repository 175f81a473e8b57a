"""OpenAI's API under the paid-call protocol: batches are paid once, and what cannot be known is said and bought once.

The referee is the ledger of OpenAI's twin, which cuts answers after it has taken payment.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from heddle.twins.kit import ledger, options
from tests.fault import figures, harness, programs

CALLS = figures.scaled(short=6, full=30)
KILLS = 2
ENDPOINT = """
[models.{model}]
unknown_policy = "at_most_once"
[endpoints.{model}]
adapter = "openai"
url = "{url}/v1"
secret = "env:SIM_KEY"
price_usd = "0.01"
timeout_s = 20
operation = "{operation}"
model_name = "gpt-4o-mini"
list_prices = true
poll_after_s = 0.05
lookup_bound_s = 0.5
[scopes.{model}]
concurrency = 20
[[routes]]
model = "{model}"
endpoint = "{model}"
"""


@contextlib.contextmanager
def twin(folder: pathlib.Path, *rates: str) -> Iterator[str]:
    """Give the address of a running twin."""
    port_file = folder / "port"
    command = [sys.executable, "-m", "heddle.cli", "twin", "openai", "--port-file", str(port_file)]
    command += ["--ledger", str(folder / "paid.jsonl"), "--latency-ms", "30", "--seed", str(programs.seed())]
    command += [word for rate in rates for word in ("--rate", rate)]
    environment = {**os.environ, "PYTHONPATH": programs.PYTHONPATH, options.API_KEY_VARIABLE: programs.API_KEY}
    with (folder / "twin.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        programs.until(port_file.exists, what="the twin listens")
        yield f"http://127.0.0.1:{port_file.read_text().strip()}"
    finally:
        process.kill()
        process.wait(timeout=programs.WAIT_S)


@pytest.mark.parametrize("point", ["K2", "K4", "K5"])
def test_batch_when_answers_are_cut_and_its_worker_is_killed_then_each_is_paid_once(
    site: harness.Site, point: str, tmp_path: pathlib.Path
) -> None:
    with twin(tmp_path, "cut=0.5") as url:
        site.configure(ENDPOINT.format(model="write_batch", url=url, operation="batch"))
        run_id = site.submit("text_batches", first=0, count=CALLS)

        kills = site.finish_under_kills(run_id, point=point, kills=KILLS)
        run = site.run(run_id)

    assert (run.state, run.output) == ("succeeded", [1] * CALLS)
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == CALLS
    assert kills >= 1


def is_over(handle: str) -> bool:
    asked = urllib.request.Request(handle, headers={"Authorization": f"Bearer {programs.API_KEY}"})
    with urllib.request.urlopen(asked, timeout=programs.WAIT_S) as answer:
        return bool(json.load(answer)["status"] == "completed")


def test_batch_when_polled_once_an_hour_then_a_webhook_to_the_account_that_names_it_ends_the_run(
    site: harness.Site, tmp_path: pathlib.Path
) -> None:
    with twin(tmp_path) as url:
        hourly = ENDPOINT.replace("poll_after_s = 0.05", "poll_after_s = 3600")
        site.configure(hourly.format(model="write_batch", url=url, operation="batch"))
        run_id = site.submit("text_batches", first=0, count=1)
        site.start_worker("hourly", FAULT_COMPUTE="none")
        query = "select handle from heddle_attempt where run_id = %s and handle is not null"
        handle = site.until_row(query, [run_id], what="the batch is accepted")
        programs.until(lambda: is_over(handle), what="the batch is over")
        found = site.doors.find_job(endpoint="write_batch", handle=handle)
        strange = site.doors.find_job(endpoint="write_batch", handle=f"{handle}x")
        assert found is not None
        is_new = site.doors.callback(endpoint="write_batch", attempt_id=found, event_id="wh_1", handle=handle)
        (run,) = site.ended(run_id)

    assert (run.state, is_new, strange) == ("succeeded", True, None)
    assert site.doors.find_job(endpoint="write_batch", handle=handle) is None


def test_text_when_answers_are_cut_then_what_is_known_is_booked_as_invoiced_and_nothing_is_bought_twice(
    site: harness.Site, tmp_path: pathlib.Path
) -> None:
    rates = ("cut=0.2", "wrong_type=0.1", "lie=0.1", "throttled=0.2", "server_error=0.1")
    with twin(tmp_path, *rates) as url:
        site.configure(ENDPOINT.format(model="write", url=url, operation="chat"))
        run_id = site.submit("texts", first=0, count=CALLS)
        worker = site.start_worker("writer", FAULT_COMPUTE="none")
        site.until_row(
            "select count(*) = %s and bool_and(state in ('succeeded', 'failed', 'unknown')) from heddle_step"
            " where run_id = %s and ordinal > 0",
            [CALLS, run_id],
            what="every call has ended or is unknown",
        )
        worker.kill()

    books = ledger.summarise(tmp_path / "paid.jsonl")
    states = [step.state for step in site.steps(run_id) if step.ordinal > 0]
    known = site.value(
        "select coalesce(sum(a.cost_nano_usd), 0)::bigint from heddle_attempt a join heddle_step s"
        " on s.run_id = a.run_id and s.ordinal = a.ordinal where a.run_id = %s and s.state = 'succeeded'"
        " and a.state = 'done'",
        [run_id],
    )  # fmt: skip
    assert books.paid_twice == ()
    assert states.count("succeeded") <= books.paid <= CALLS
    assert known <= books.paid_nano_usd
