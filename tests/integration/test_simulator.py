"""The simulated provider keeps its promises: classes, faults, limits and books, over real sockets and files."""

import asyncio
import json
import pathlib
import signal
import subprocess
import sys

import aiohttp
import pytest

from heddle.providers.simulator import fates, ledger
from tests.integration import simulator_customer


async def test_job_when_asked_until_over_then_gives_the_picture_and_is_paid_once(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("cv2", reason="pictures need the extra `demo`: pip install heddle[demo]")
    async with simulator_customer.customer_of(simulator_customer.options(tmp_path)) as customer:
        status, job, headers = await customer.submit(key="shot-1")
        done = await customer.until_over(job["id"])
        async with customer.session.get(done["result"]["url"]) as answer:
            picture = await answer.read()

    assert (status, job["status"], headers["Location"]) == (202, "queued", f"/v1/jobs/{job['id']}")
    assert (done["status"], done["result"]["seed"], done["result"]["cost_usd"]) == ("succeeded", 3, "0.040000000")
    assert (answer.headers["Content-Type"], picture[:3]) == ("image/jpeg", b"\xff\xd8\xff")
    assert ledger.summarise(tmp_path / "paid.jsonl").paid_nano_usd == simulator_customer.PRICE_NANO_USD


async def test_class_a_when_key_is_repeated_at_once_and_later_then_pays_once(tmp_path: pathlib.Path) -> None:
    async with simulator_customer.customer_of(simulator_customer.options(tmp_path)) as customer:
        answers = await asyncio.gather(*(customer.submit(key="same") for _ in range(8)))
        later = await customer.submit(key="same")

    assert {job["id"] for _, job, _ in [*answers, later]} == {later[1]["id"]}
    assert later[2]["Idempotent-Replayed"] == "true"
    assert ledger.summarise(tmp_path / "paid.jsonl").paid_jobs == 1


async def test_class_a_when_key_comes_with_another_body_then_refuses_422(tmp_path: pathlib.Path) -> None:
    async with simulator_customer.customer_of(simulator_customer.options(tmp_path)) as customer:
        await customer.submit(key="same")
        status, problem, _ = await customer.submit(key="same", model="upscale")

    assert (status, problem["error"]["code"]) == (422, "idempotency_key_reused")


async def test_class_b_when_looked_up_by_client_job_id_then_lists_every_job_made(tmp_path: pathlib.Path) -> None:
    async with simulator_customer.customer_of(simulator_customer.options(tmp_path, idempotency="B")) as customer:
        nothing = await customer.get("/v1/jobs?client_job_id=mine")
        _, first, _ = await customer.submit(key="ignored", client_job_id="mine")
        _, second, _ = await customer.submit(key="ignored", client_job_id="mine")
        status, found = await customer.get("/v1/jobs?client_job_id=mine")

    assert nothing == (200, {"items": []})
    assert (status, [job["id"] for job in found["items"]]) == (200, [first["id"], second["id"]])
    assert ledger.summarise(tmp_path / "paid.jsonl").keys_paid_twice == ("ignored",)


async def test_class_c_when_request_is_repeated_then_pays_again_and_offers_no_lookup(tmp_path: pathlib.Path) -> None:
    async with simulator_customer.customer_of(simulator_customer.options(tmp_path, idempotency="C")) as customer:
        _, first, _ = await customer.submit()
        _, second, _ = await customer.submit()
        status, problem = await customer.get("/v1/jobs?client_job_id=mine")

    assert first["id"] != second["id"]
    assert (status, problem["error"]["code"]) == (404, "lookup_not_offered")
    assert ledger.summarise(tmp_path / "paid.jsonl").paid_jobs == 2


async def test_connection_when_cut_after_acceptance_then_job_is_paid_and_found_by_its_key(
    tmp_path: pathlib.Path,
) -> None:
    cut_once = simulator_customer.options(tmp_path, rates=fates.Rates(cut=1.0))
    async with simulator_customer.customer_of(cut_once) as customer:
        with pytest.raises(aiohttp.ClientError):
            await customer.submit(key="cut")
    async with simulator_customer.customer_of(simulator_customer.options(tmp_path)) as customer:
        _, job, headers = await customer.submit(key="cut")

    paid = ledger.read(tmp_path / "paid.jsonl").paid
    assert [entry.id for entry in paid] == [job["id"]]
    assert headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("rates", "status", "code", "retry_after"),
    [
        (fates.Rates(throttled=1.0), 429, "rate_limited", "1"),
        (fates.Rates(server_error=1.0), 500, "internal_error", None),
    ],
)
async def test_request_when_refused_before_acceptance_then_nothing_is_paid(
    tmp_path: pathlib.Path, rates: fates.Rates, status: int, code: str, retry_after: str | None
) -> None:
    async with simulator_customer.customer_of(simulator_customer.options(tmp_path, rates=rates)) as customer:
        answered, problem, headers = await customer.submit(key="refused")

    assert (answered, problem["error"]["code"], headers.get("Retry-After")) == (status, code, retry_after)
    assert ledger.summarise(tmp_path / "paid.jsonl").paid_jobs == 0


async def test_job_when_it_fails_then_names_a_retryable_code_and_is_refunded(tmp_path: pathlib.Path) -> None:
    async with (
        simulator_customer.mailbox() as (url, received),
        simulator_customer.customer_of(simulator_customer.options(tmp_path, rates=fates.Rates(failed=1.0))) as customer,
    ):
        _, job, _ = await customer.submit(key="doomed", webhook=url)
        failed = await customer.until_over(job["id"])
        await simulator_customer.take(received)

    summary = ledger.summarise(tmp_path / "paid.jsonl")
    assert (failed["status"], failed["error"]["retryable"]) == ("failed", True)
    assert (summary.paid_jobs, summary.refunded_jobs, summary.refunded_nano_usd) == (
        1,
        1,
        simulator_customer.PRICE_NANO_USD,
    )


async def test_limit_when_every_place_is_taken_then_429_until_one_is_free(tmp_path: pathlib.Path) -> None:
    async with simulator_customer.customer_of(
        simulator_customer.options(tmp_path, concurrency=1, latency_s=60.0)
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
        simulator_customer.customer_of(simulator_customer.options(tmp_path)) as customer,
        customer.session.post(f"{customer.base_url}/v1/jobs", data=content) as answer,
    ):
        problem = await answer.json()

    assert answer.status == status
    assert named in problem["error"]["message"]


async def test_request_when_key_is_wrong_then_401(tmp_path: pathlib.Path) -> None:
    async with simulator_customer.customer_of(simulator_customer.options(tmp_path)) as customer:
        headers = {"Authorization": "Bearer other"}
        async with customer.session.get(f"{customer.base_url}/v1/jobs/x", headers=headers) as answer:
            status = answer.status

    assert status == 401


def test_faults_when_seed_is_the_same_then_repeat_and_when_it_differs_then_differ() -> None:
    rates = fates.spread_evenly(fault_rate=0.5, callback_fault_rate=0.5)

    def day(seed: int) -> list[object]:
        plan = fates.Plan(seed=seed, rates=rates)
        keys = [f"key-{number}" for number in range(200)]
        return [
            (
                fates.submit_fault(plan=plan, key=key, count=0),
                fates.job_fate(plan=plan, key=key, count=0),
                fates.callback_fate(plan=plan, key=key),
            )
            for key in keys
        ]

    assert day(1) == day(1)
    assert day(1) != day(2)


def test_faults_when_rate_is_five_percent_then_about_that_share_of_requests_and_jobs_meets_one() -> None:
    plan = fates.Plan(seed=5, rates=fates.spread_evenly(fault_rate=0.05, callback_fault_rate=0.0))

    met = 0
    for number in range(4_000):
        job = fates.job_fate(plan=plan, key=str(number), count=0)
        met += fates.submit_fault(plan=plan, key=str(number), count=0) is not None or job.is_failed or job.is_slow

    assert 140 <= met <= 260


def test_ledger_when_last_line_is_torn_then_reading_leaves_it_out_and_opening_cuts_it_off(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "paid.jsonl"
    path.write_bytes(b'{"at_s":1.0,"id":"job_a","kind":"cancelled"}\n{"kind":"paid","id":"jo')

    before = ledger.read(path)
    opened = ledger.Ledger(path=path)
    asyncio.run(opened.close())

    assert list(before.cancelled_at_s) == ["job_a"]
    assert path.read_bytes() == b'{"at_s":1.0,"id":"job_a","kind":"cancelled"}\n'


def test_ledger_when_a_whole_line_is_strange_then_is_refused_by_number(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "paid.jsonl"
    path.write_text('{"kind":"cancelled","id":"job_a","at_s":1}\n{"kind":"gift"}\n')

    with pytest.raises(ledger.LedgerDamaged, match="line 2"):
        ledger.read(path)


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
    assert ledger.summarise(tmp_path / "paid.jsonl").paid_jobs == 1
    assert exit_code == 0


def test_program_when_secret_is_missing_then_exits_2_and_names_the_variable(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "heddle.providers.simulator.server", "--ledger", str(tmp_path / "paid.jsonl")]

    ended = subprocess.run(
        command,
        env=simulator_customer.environment() | {"HEDDLE_SIMULATOR_API_KEY": ""},
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode == 2
    assert b"HEDDLE_SIMULATOR_API_KEY" in ended.stderr
