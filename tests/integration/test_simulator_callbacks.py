"""The simulated provider's callbacks are signed, and come late, twice, forged or not at all when they are meant to."""

import json
import pathlib

from heddle.twins.kit import faults
from tests.integration import simulator_customer


async def test_callback_when_job_succeeds_then_is_signed_and_carries_the_job(tmp_path: pathlib.Path) -> None:
    async with (
        simulator_customer.mailbox() as (url, received),
        simulator_customer.customer_of(simulator_customer.simulator(tmp_path)) as customer,
    ):
        _, job, _ = await customer.submit(webhook=url)
        headers, content = await simulator_customer.take(received)

    message = json.loads(content)
    assert simulator_customer.is_genuine(headers, content)
    assert (message["type"], message["data"]["id"], message["data"]["status"]) == (
        "job.succeeded",
        job["id"],
        "succeeded",
    )


async def test_callback_when_refused_then_comes_again_under_the_same_id(tmp_path: pathlib.Path) -> None:
    async with (
        simulator_customer.mailbox(answers=[503]) as (url, received),
        simulator_customer.customer_of(simulator_customer.simulator(tmp_path)) as customer,
    ):
        await customer.submit(webhook=url)
        first, _ = await simulator_customer.take(received)
        second, _ = await simulator_customer.take(received)

    assert first["webhook-id"] == second["webhook-id"]


async def test_callback_when_duplicated_and_late_then_two_equal_ones_come_after_the_job_is_over(
    tmp_path: pathlib.Path,
) -> None:
    rates = faults.Rates(callback_duplicated=1.0, callback_late=1.0)
    async with (
        simulator_customer.mailbox() as (url, received),
        simulator_customer.customer_of(simulator_customer.simulator(tmp_path, rates=rates)) as customer,
    ):
        _, job, _ = await customer.submit(webhook=url)
        over = await customer.until_over(job["id"])
        had_come = not received.empty()
        copies = [await simulator_customer.take(received), await simulator_customer.take(received)]

    assert (over["status"], had_come) == ("succeeded", False)
    assert copies[0][1] == copies[1][1]
    assert copies[0][0]["webhook-id"] == copies[1][0]["webhook-id"]


async def test_callback_when_lost_then_only_asking_tells(tmp_path: pathlib.Path) -> None:
    rates = faults.Rates(callback_lost=1.0)
    async with (
        simulator_customer.mailbox() as (url, received),
        simulator_customer.customer_of(simulator_customer.simulator(tmp_path, rates=rates)) as customer,
    ):
        _, job, _ = await customer.submit(webhook=url)
        over = await customer.until_over(job["id"])

    assert (over["status"], received.empty()) == ("succeeded", True)


async def test_callback_when_forged_then_signature_does_not_hold_and_a_true_one_follows(tmp_path: pathlib.Path) -> None:
    rates = faults.Rates(callback_forged=1.0)
    async with (
        simulator_customer.mailbox() as (url, received),
        simulator_customer.customer_of(simulator_customer.simulator(tmp_path, rates=rates)) as customer,
    ):
        await customer.submit(webhook=url)
        forged, true = await simulator_customer.take(received), await simulator_customer.take(received)

    assert (json.loads(forged[1])["type"], simulator_customer.is_genuine(*forged)) == ("job.failed", False)
    assert (json.loads(true[1])["type"], simulator_customer.is_genuine(*true)) == ("job.succeeded", True)
