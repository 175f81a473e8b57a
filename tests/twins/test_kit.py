"""The kit: fates come from the seed alone, payment comes before the answer, and faults spoil what was paid for."""

import asyncio
import json
import pathlib

import aiohttp
import pytest

from heddle.store import media as stored_media
from heddle.twins.kit import answers, callbacks, calls, faults, jobs, ledger, media, server
from tests.twins import invented

ASKED = {"say": "hello"}


async def until_accepted(url: str) -> None:
    async with asyncio.timeout(10):
        while (await invented.post(url, {"n": "last"}))[0] != 200:  # noqa: ASYNC110  a socket has no event
            await asyncio.sleep(0.01)


def summary(folder: pathlib.Path) -> ledger.Summary:
    return ledger.summarise(folder / "paid.jsonl")


def test_fates_when_asked_in_any_order_then_the_seed_alone_decides() -> None:
    rates = faults.Rates(throttled=0.3, cut=0.3, failed=0.5, callback_lost=0.5)
    plans = [faults.Plan(seed=seed, rates=rates) for seed in (1, 1, 2)]
    keys = [(f"key_{number}", count) for number in range(50) for count in range(2)]

    first, again, other = (
        [
            (
                faults.request_fault(plan=plan, key=key, count=count, now_s=0.0),
                faults.job_fate(plan=plan, key=key, count=count),
            )
            for key, count in order
        ]
        for plan, order in zip(plans, (keys, list(reversed(keys)), keys), strict=True)
    )

    assert first == list(reversed(again))
    assert first != other


def test_storms_when_set_then_throttling_is_a_matter_of_when() -> None:
    plan = faults.Plan(seed=3, rates=faults.Rates(throttled=0.5), storm_s=10.0)

    pieces = [
        {faults.request_fault(plan=plan, key=f"k{key}", count=0, now_s=piece * 10.0 + 1) for key in range(20)}
        for piece in range(40)
    ]

    assert all(len(found) == 1 for found in pieces)
    assert 10 < pieces.count({faults.RequestFault.THROTTLED}) < 30
    assert faults.storm_left_s(plan=plan, now_s=7.0) == 3.0


def test_rates_when_one_is_spread_then_about_that_share_of_requests_and_jobs_meets_a_fault() -> None:
    plan = faults.Plan(seed=5, rates=faults.spread_evenly(fault_rate=0.05, callback_fault_rate=0.0))

    met = 0
    for key in map(str, range(4_000)):
        job = faults.job_fate(plan=plan, key=key, count=0)
        is_slow = job.latency_s > 3 * plan.latency_s
        met += faults.request_fault(plan=plan, key=key, count=0, now_s=0.0) is not None or job.is_failed or is_slow

    assert 140 <= met <= 260


@pytest.mark.parametrize("rates", [{"failed": 1.5}, {"cut": -0.1}, {"cut": 0.6, "hang": 0.6}])
def test_rates_when_out_of_range_then_refused(rates: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        faults.Rates(**rates)


def test_ledger_when_its_last_line_is_torn_then_left_out_and_a_damaged_one_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "paid.jsonl"
    path.write_bytes(b'{"at_s":1,"id":"job_1","kind":"cancelled"}\n{"kind":"pa')

    books = ledger.read(path)
    path.write_bytes(b"{}\n")

    assert books.cancelled_at_s == {"job_1": 1.0}
    with pytest.raises(ledger.LedgerDamaged, match="line 1"):
        ledger.read(path)


async def test_ledger_when_its_last_line_is_torn_then_opening_cuts_it_off(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "paid.jsonl"
    path.write_bytes(b'{"at_s":1,"id":"job_1","kind":"cancelled"}\n{"kind":"pa')

    await ledger.Ledger(path=path).close()

    assert path.read_bytes() == b'{"at_s":1,"id":"job_1","kind":"cancelled"}\n'


async def test_key_when_missing_then_unauthorised_and_unpaid(tmp_path: pathlib.Path) -> None:
    async with (
        server.Running(invented.InventedTwin(invented.given(tmp_path))) as running,
        aiohttp.ClientSession() as session,
        session.post(f"{running.url}/answers", json=ASKED) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (401, "invalid_api_key")

    assert summary(tmp_path).paid == 0


async def test_path_when_unknown_then_refused_in_the_vendors_form(tmp_path: pathlib.Path) -> None:
    async with server.Running(invented.InventedTwin(invented.given(tmp_path))) as running:
        status, body = await invented.get(f"{running.url}/nothing")

    assert (status, json.loads(body)["code"]) == (404, "invalid_request")


@pytest.mark.parametrize(("fault", "status"), [("throttled", 429), ("server_error", 500)])
async def test_fault_when_before_acceptance_then_refused_and_unpaid(
    fault: str, status: int, tmp_path: pathlib.Path
) -> None:
    twin = invented.InventedTwin(invented.given(tmp_path, rates=faults.Rates(**{fault: 1.0})))
    async with server.Running(twin) as running:
        answered, _ = await invented.post(f"{running.url}/answers", ASKED)

    assert (answered, summary(tmp_path).paid) == (status, 0)


@pytest.mark.parametrize("fault", ["hang", "cut", "drip"])
async def test_fault_when_after_acceptance_then_paid_and_no_whole_answer(fault: str, tmp_path: pathlib.Path) -> None:
    plan = {"rates": faults.Rates(**{fault: 1.0}), "cut_at_bytes": 60, "drip_s": 0.5}
    async with server.Running(invented.InventedTwin(invented.given(tmp_path, **plan))) as running:
        with pytest.raises((aiohttp.ClientError, TimeoutError)):
            await invented.post(f"{running.url}/answers", ASKED, timeout_s=0.5)

    assert summary(tmp_path).paid == 1


@pytest.mark.parametrize(("fault", "expected"), [("wrong_type", b"<!doctype"), ("lie", b'{"code":"server_error"')])
async def test_fault_when_it_is_another_answer_then_paid_under_status_200(
    fault: str, expected: bytes, tmp_path: pathlib.Path
) -> None:
    twin = invented.InventedTwin(invented.given(tmp_path, rates=faults.Rates(**{fault: 1.0})))
    async with server.Running(twin) as running:
        status, body = await invented.post(f"{running.url}/answers", ASKED)

    assert (status, body[: len(expected)], summary(tmp_path).paid) == (200, expected, 1)


async def test_huge_when_read_then_larger_than_the_reader_likes(tmp_path: pathlib.Path) -> None:
    twin = invented.InventedTwin(invented.given(tmp_path, rates=faults.Rates(huge=1.0)))
    read_bytes = 0
    async with (
        server.Running(twin) as running,
        aiohttp.ClientSession(headers=invented.AUTHORISED) as session,
        session.post(f"{running.url}/answers", json=ASKED) as answer,
    ):
        while read_bytes < 8 * 1024**2:
            read_bytes += len(await answer.content.readany())

    assert summary(tmp_path).paid == 1


@pytest.mark.parametrize("at_bytes", [0, 1, 16, 17, 60, 107, 108, 109])
async def test_cut_when_at_any_byte_then_so_much_of_the_answer_arrives(at_bytes: int, tmp_path: pathlib.Path) -> None:
    plan = {"rates": faults.Rates(cut=1.0), "cut_at_bytes": at_bytes}
    whole = answers.raw(answers.json_answer(200, {"said": "hello"}))
    async with server.Running(invented.InventedTwin(invented.given(tmp_path, **plan))) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rpartition(":")[2]))
        body = json.dumps(ASKED)
        writer.write(
            f"POST /answers HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer twin-key\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        try:
            received = await reader.read()
        except ConnectionResetError:
            received = b""
        writer.close()

    assert received == whole[:at_bytes]
    assert summary(tmp_path).paid == 1


async def test_jobs_when_the_twin_is_started_again_then_taken_up_from_the_ledger(tmp_path: pathlib.Path) -> None:
    given = invented.given(tmp_path, latency_s=0.0)
    async with server.Running(invented.InventedTwin(given)) as running:
        _, body = await invented.post(f"{running.url}/jobs", {"reference": "ours"})
        job_id = json.loads(body)["id"]
        await invented.post(f"{running.url}/jobs", {"reference": "ours"})

    async with server.Running(invented.InventedTwin(given)) as running:
        _, body = await invented.get(f"{running.url}/jobs/{job_id}")

    assert json.loads(body) == {"id": job_id, "status": "succeeded"}
    assert summary(tmp_path).paid_twice == ("ours",)


async def test_jobs_when_as_many_are_open_as_can_be_kept_then_refused_and_unpaid(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "JOBS_MAX", 2)
    async with server.Running(invented.InventedTwin(invented.given(tmp_path, latency_s=600.0))) as running:
        answered = await asyncio.gather(*(invented.post(f"{running.url}/jobs", {"n": n}) for n in range(3)))
        first = min(json.loads(body)["id"] for status, body in answered if status == 200)
        await invented.post(f"{running.url}/jobs/{first}/cancel", {})
        await until_accepted(f"{running.url}/jobs")

    assert sorted(status for status, _ in answered) == [200, 200, 503]
    assert summary(tmp_path).paid == 3


async def test_job_when_stuck_then_queued_until_it_is_cancelled(tmp_path: pathlib.Path) -> None:
    twin = invented.InventedTwin(invented.given(tmp_path, latency_s=0.0, rates=faults.Rates(stuck=1.0)))
    async with server.Running(twin) as running:
        _, body = await invented.post(f"{running.url}/jobs", ASKED)
        url = f"{running.url}/jobs/{json.loads(body)['id']}"
        _, before = await invented.get(url)
        _, cancelled = await invented.post(f"{url}/cancel", {})
        _, after = await invented.get(url)

    assert [json.loads(each)["status"] for each in (before, cancelled, after)] == ["queued", "cancelled", "cancelled"]
    assert summary(tmp_path).cancelled == 1


async def test_job_when_failed_then_refunded_where_the_vendor_does(tmp_path: pathlib.Path) -> None:
    async with invented.Receiver() as receiver:
        twin = invented.InventedTwin(invented.given(tmp_path, rates=faults.Rates(failed=1.0)))
        async with server.Running(twin) as running:
            await invented.post(f"{running.url}/jobs", {"callback": receiver.url})
            await receiver.wait(2)

    assert [json.loads(body)["status"] for _, body in receiver.letters] == ["running", "failed"]
    assert summary(tmp_path).refunded == 1
    assert not any(summary(tmp_path).payments.values())


async def test_question_when_failed_by_rate_then_503(tmp_path: pathlib.Path) -> None:
    twin = invented.InventedTwin(invented.given(tmp_path, rates=faults.Rates(ask_failed=1.0)))
    async with server.Running(twin) as running:
        status, _ = await invented.get(f"{running.url}/jobs/job_1")

    assert status == 503


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({}, ["running", "succeeded"]),
        ({"callback_duplicated": 1.0}, ["running", "running", "succeeded", "succeeded"]),
        ({"callback_reordered": 1.0}, ["succeeded", "running"]),
        ({"callback_forged": 1.0}, ["running", "failed", "succeeded"]),
    ],
)
async def test_callbacks_when_spoiled_then_as_the_rate_says(
    rates: dict[str, float], expected: list[str], tmp_path: pathlib.Path
) -> None:
    async with invented.Receiver() as receiver:
        twin = invented.InventedTwin(invented.given(tmp_path, rates=faults.Rates(**rates)))
        async with server.Running(twin) as running:
            await invented.post(f"{running.url}/jobs", {"callback": receiver.url})
            await receiver.wait(len(expected))

    assert [json.loads(body)["status"] for _, body in receiver.letters] == expected


async def test_callback_when_refused_then_sent_again(tmp_path: pathlib.Path) -> None:
    twin = invented.InventedTwin(invented.given(tmp_path, latency_s=0.0))
    async with invented.Receiver(500, 302) as receiver, server.Running(twin) as running:
        await invented.post(f"{running.url}/jobs", {"callback": receiver.url})
        await receiver.wait(4)

    assert len({body for _, body in receiver.letters}) == 2


async def test_callback_when_refused_for_long_then_sent_again_as_long_as_a_vendor_would(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(callbacks, "RETRY_MAX_S", 0.002)
    twin = invented.InventedTwin(invented.given(tmp_path, latency_s=0.0))
    # With the real times between them the eleventh comes after more than half a minute.
    async with invented.Receiver(*[503] * 10) as receiver, server.Running(twin) as running:
        await invented.post(f"{running.url}/jobs", {"callback": receiver.url})
        await receiver.wait(12)

    assert len({body for _, body in receiver.letters}) == 2


def test_form_when_its_boundary_is_another_then_the_same_parts_and_digest() -> None:
    def call(boundary: str) -> calls.Call:
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nhi\r\n--{boundary}\r\n'
            f'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n\r\n\x00'
            f"\r\n--{boundary}--\r\n"
        ).encode()
        return calls.Call(
            request=None,  # type: ignore[arg-type]
            method="POST",
            path="/x",
            headers={"content-type": f'multipart/form-data; boundary="{boundary}"'},
            query={},
            parameters={},
            body=body,
            at_s=0.0,
            request_id="r",
        )

    first, second = call("aaaa"), call("bbbbbb")

    assert first.digest == second.digest
    assert first.form() == [
        calls.Part(name="prompt", filename=None, media_type="text/plain", body=b"hi"),
        calls.Part(name="image", filename="a.png", media_type="image/png", body=b"\r\n\x00"),
    ]


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (media.png("a"), "image/png"),
        (media.jpeg("a"), "image/jpeg"),
        (media.webp("a"), "image/webp"),
        (media.mp4("a"), "video/mp4"),
        (media.wav("a"), "audio/wav"),
    ],
)
def test_media_when_made_then_whole_and_of_their_kind(made: bytes, kind: str) -> None:
    size = stored_media.picture_size(kind, memoryview(made))

    assert stored_media.sniff(made[:64]) == kind
    assert size in (None, stored_media.Size(width_px=64, height_px=64))
    assert media.png("a") != media.png("b")
