"""The simulated provider keeps its promises: classes, faults, limits and books, over real sockets and files."""

import asyncio
import json
import pathlib
import signal
import subprocess
import sys

import aiohttp
import pytest

from heddle.twins.kit import faults, ledger
from tests.integration import simulator_customer


async def test_job_when_asked_until_over_then_gives_the_picture_and_is_paid_once(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("cv2", reason="pictures need the extra `demo`: pip install heddle[demo]")
    async with simulator_customer.customer_of(simulator_customer.simulator(tmp_path)) as customer:
        status, job, headers = await customer.submit(key="shot-1")
        done = await customer.until_over(job["id"])
        async with customer.session.get(done["result"]["url"]) as answer:
            picture = await answer.read()

    assert (status, job["status"], headers["Location"]) == (202, "queued", f"/v1/jobs/{job['id']}")
    assert (done["status"], done["result"]["seed"], done["result"]["cost_usd"]) == ("succeeded", 3, "0.040000000")
    assert (answer.headers["Content-Type"], picture[:3]) == ("image/jpeg", b"\xff\xd8\xff")
    assert ledger.summarise(tmp_path / "paid.jsonl").paid_nano_usd == simulator_customer.PRICE_NANO_USD


async def test_class_a_when_key_is_repeated_at_once_and_later_then_pays_once(tmp_path: pathlib.Path) -> None:
    async with simulator_customer.customer_of(simulator_customer.simulator(tmp_path)) as customer:
        answers = await asyncio.gather(*(customer.submit(key="same") for _ in range(8)))
        later = await customer.submit(key="same")

    assert {job["id"] for _, job, _ in [*answers, later]} == {later[1]["id"]}
    assert later[2]["Idempotent-Replayed"] == "true"
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == 1


async def test_class_a_when_key_comes_with_another_body_then_refuses_422(tmp_path: pathlib.Path) -> None:
    async with simulator_customer.customer_of(simulator_customer.simulator(tmp_path)) as customer:
        await customer.submit(key="same")
        status, problem, _ = await customer.submit(key="same", model="upscale")

    assert (status, problem["error"]["code"]) == (422, "idempotency_key_reused")


async def test_class_b_when_looked_up_by_client_job_id_then_lists_every_job_made(tmp_path: pathlib.Path) -> None:
    async with simulator_customer.customer_of(simulator_customer.simulator(tmp_path, idempotency="B")) as customer:
        nothing = await customer.get("/v1/jobs?client_job_id=mine")
        _, first, _ = await customer.submit(key="ignored", client_job_id="mine")
        _, second, _ = await customer.submit(key="ignored", client_job_id="mine")
        status, found = await customer.get("/v1/jobs?client_job_id=mine")

    assert nothing == (200, {"items": []})
    assert (status, [job["id"] for job in found["items"]]) == (200, [first["id"], second["id"]])
    assert ledger.summarise(tmp_path / "paid.jsonl").paid_twice == ("mine",)


async def test_class_c_when_request_is_repeated_then_pays_again_and_offers_no_lookup(tmp_path: pathlib.Path) -> None:
    async with simulator_customer.customer_of(simulator_customer.simulator(tmp_path, idempotency="C")) as customer:
        _, first, _ = await customer.submit()
        _, second, _ = await customer.submit()
        status, problem = await customer.get("/v1/jobs?client_job_id=mine")

    assert first["id"] != second["id"]
    assert (status, problem["error"]["code"]) == (404, "lookup_not_offered")
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == 2


async def test_connection_when_cut_after_acceptance_then_job_is_paid_and_found_by_its_key(
    tmp_path: pathlib.Path,
) -> None:
    cut_once = simulator_customer.simulator(tmp_path, rates=faults.Rates(cut=1.0))
    async with simulator_customer.customer_of(cut_once) as customer:
        with pytest.raises(aiohttp.ClientError):
            await customer.submit(key="cut")
    async with simulator_customer.customer_of(simulator_customer.simulator(tmp_path)) as customer:
        _, job, headers = await customer.submit(key="cut")

    paid = ledger.read(tmp_path / "paid.jsonl").paid
    assert [entry.id for entry in paid] == [job["id"]]
    assert headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("rates", "status", "code", "retry_after"),
    [
        (faults.Rates(throttled=1.0), 429, "rate_limited", "1"),
        (faults.Rates(server_error=1.0), 500, "internal_error", None),
    ],
)
async def test_request_when_refused_before_acceptance_then_nothing_is_paid(
    tmp_path: pathlib.Path, rates: faults.Rates, status: int, code: str, retry_after: str | None
) -> None:
    async with simulator_customer.customer_of(simulator_customer.simulator(tmp_path, rates=rates)) as customer:
        answered, problem, headers = await customer.submit(key="refused")

    assert (answered, problem["error"]["code"], headers.get("Retry-After")) == (status, code, retry_after)
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == 0


async def test_job_when_it_fails_then_names_a_retryable_code_and_is_refunded(tmp_path: pathlib.Path) -> None:
    async with (
        simulator_customer.mailbox() as (url, received),
        simulator_customer.customer_of(
            simulator_customer.simulator(tmp_path, rates=faults.Rates(failed=1.0))
        ) as customer,
    ):
        _, job, _ = await customer.submit(key="doomed", webhook=url)
        failed = await customer.until_over(job["id"])
        await simulator_customer.take(received)

    summary = ledger.summarise(tmp_path / "paid.jsonl")
    assert (failed["status"], failed["error"]["retryable"]) == ("failed", True)
    assert (summary.paid, summary.refunded, summary.refunded_nano_usd) == (
        1,
        1,
        simulator_customer.PRICE_NANO_USD,
    )


async def test_limit_when_every_place_is_taken_then_429_until_one_is_free(tmp_path: pathlib.Path) -> None:
    async with simulator_customer.customer_of(
        simulator_customer.simulator(tmp_path, concurrency=1, latency_s=60.0)
    ) as customer:
        _, job, _ = await customer.submit(key="first")
        status, problem, headers = await customer.submit(key="second")
        async with customer.session.post(f"{customer.base_url}/v1/jobs/{job['id']}/cancel") as answer:
            cancelled = await answer.json()
        await simulator_customer.until_accepted(customer, key="second")

    assert (status, problem["error"]["code"], int(headers["Retry-After"]) >= 1) == (429, "concurrency_limit", True)
    assert cancelled["status"] == "cancelled"


@pytest.mark.parametrize(
    ("content", "status", "named"),
    [
        (b"{", 400, "not JSON"),
        (b"[" * 20_000, 400, "not JSON"),
        (b"[]", 400, "object"),
        (json.dumps(simulator_customer.body(model=7)).encode(), 422, "model"),
        (json.dumps(simulator_customer.body(input={"prompt": "x", "seed": -1})).encode(), 422, "input.seed"),
        (json.dumps(simulator_customer.body(input={"prompt": "x", "width": 99_999})).encode(), 422, "input.width"),
        (json.dumps(simulator_customer.body(input={"prompt": "x", "size": 1})).encode(), 422, "input.size"),
        (json.dumps(simulator_customer.body(webhook="http://example.com/x")).encode(), 422, "webhook"),
        (json.dumps(simulator_customer.body(webhook="http://[::1")).encode(), 422, "webhook"),
        (b" " * 40_000, 413, "larger"),
    ],
)
async def test_request_when_malformed_then_is_refused_by_name(
    tmp_path: pathlib.Path, content: bytes, status: int, named: str
) -> None:
    async with (
        simulator_customer.customer_of(simulator_customer.simulator(tmp_path)) as customer,
        customer.session.post(f"{customer.base_url}/v1/jobs", data=content) as answer,
    ):
        problem = await answer.json()

    assert answer.status == status
    assert named in problem["error"]["message"]


async def test_request_when_key_is_wrong_then_401(tmp_path: pathlib.Path) -> None:
    async with simulator_customer.customer_of(simulator_customer.simulator(tmp_path)) as customer:
        headers = {"Authorization": "Bearer other"}
        async with customer.session.get(f"{customer.base_url}/v1/jobs/x", headers=headers) as answer:
            status = answer.status

    assert status == 401


async def test_program_when_killed_then_its_jobs_go_on_after_restart_and_are_not_paid_again(
    tmp_path: pathlib.Path,
) -> None:
    first = simulator_customer.start_program(tmp_path, "--latency-ms", "600000")
    headers = {"Authorization": f"Bearer {simulator_customer.API_KEY}"}
    async with aiohttp.ClientSession(
        headers=headers, timeout=aiohttp.ClientTimeout(total=simulator_customer.WAIT_S)
    ) as session:
        try:
            customer = simulator_customer.Customer(
                base_url=await simulator_customer.base_url_of(tmp_path, first), session=session
            )
            _, before, _ = await customer.submit(key="survivor")
        finally:
            first.kill()
            first.wait(simulator_customer.WAIT_S)
        (tmp_path / "port").unlink()
        second = simulator_customer.start_program(tmp_path, "--latency-ms", "600000")
        try:
            customer = simulator_customer.Customer(
                base_url=await simulator_customer.base_url_of(tmp_path, second), session=session
            )
            _, after = await customer.get(f"/v1/jobs/{before['id']}")
            _, replayed, answer_headers = await customer.submit(key="survivor")
        finally:
            second.send_signal(signal.SIGTERM)
            exit_code = second.wait(simulator_customer.WAIT_S)

    assert (after["id"], after["created_at"]) == (before["id"], before["created_at"])
    assert (replayed["id"], answer_headers["Idempotent-Replayed"]) == (before["id"], "true")
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == 1
    assert exit_code == 0


@pytest.mark.parametrize(
    ("twin", "arguments", "expected"),
    [
        ("simulator", ["--concurrency", "0"], "--concurrency must be from 1"),
        ("simulator", ["--price-usd", "much"], "--price-usd 'much'"),
        ("openai", ["--class", "A", "--price-usd", "1"], "--class, --price-usd: the twin of openai"),
    ],
)
def test_program_when_a_term_is_wrong_or_of_another_twin_then_exits_2_and_names_it(
    twin: str, arguments: list[str], expected: str, tmp_path: pathlib.Path
) -> None:
    command = [sys.executable, "-m", "heddle.cli", "twin", twin, "--ledger", str(tmp_path / "paid.jsonl")]

    ended = subprocess.run(
        [*command, *arguments],
        env=simulator_customer.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode == 2
    assert expected in ended.stderr
