"""The transport says how far a request got, sends it once, and bounds what comes back."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest

from heddle.providers import transport
from tests.contract import scripted_server

OK = scripted_server.json_reply(200, {})


@pytest.fixture
async def server() -> AsyncIterator[scripted_server.ScriptedServer]:
    async with scripted_server.ScriptedServer() as server:
        yield server


@pytest.fixture
async def connections() -> AsyncIterator[transport.Transport]:
    made = transport.Transport(connections_max=2, connect_timeout_s=0.5)
    yield made
    await made.close()


def call(url: str, **changes: object) -> transport.Call:
    made = transport.Call(method="POST", url=url, timeout_s=20.0, is_repeatable=True, body=b"{}")
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "POST"])
async def test_exchange_when_a_pooled_connection_breaks_then_the_request_is_not_repeated(
    method: str, server: scripted_server.ScriptedServer, connections: transport.Transport
) -> None:
    server.script(OK, scripted_server.cut(), OK)
    await connections.exchange(call(server.url))

    lost = await connections.exchange(call(server.url, method=method, body=None))

    assert isinstance(lost, transport.MaybeSent)
    assert len(server.requests) == 2
    assert server.connections == 1


@pytest.mark.parametrize(("idle_s", "opened"), [(0.0, 3), (4.0, 2)])
async def test_exchange_when_not_repeatable_then_only_a_connection_used_a_moment_ago_is_taken(
    idle_s: float, opened: int, server: scripted_server.ScriptedServer
) -> None:
    connections = transport.Transport(unrepeatable_idle_s=idle_s)
    server.script(OK)

    for is_repeatable in (True, True, False, False):
        await connections.exchange(call(server.url, is_repeatable=is_repeatable))
    await connections.close()

    assert server.connections == opened


async def test_exchange_when_not_repeatable_and_the_connection_was_idle_for_longer_then_a_new_one_is_made(
    server: scripted_server.ScriptedServer,
) -> None:
    connections = transport.Transport(unrepeatable_idle_s=0.001)
    server.script(OK)

    for _ in range(2):
        await connections.exchange(call(server.url, is_repeatable=False))
        await asyncio.sleep(0.002)  # what is waited for is the clock of the connections themselves
    await connections.close()

    assert server.connections == 2


@pytest.mark.parametrize("is_repeatable", [True, False])
async def test_exchange_when_a_kept_connection_was_closed_and_the_loop_has_not_seen_it_then_another_one_is_made(
    is_repeatable: bool, server: scripted_server.ScriptedServer
) -> None:
    connections = transport.Transport(unrepeatable_idle_s=4.0)
    server.script(OK)
    await connections.exchange(call(server.url, is_repeatable=is_repeatable))

    server.shut()
    reply = await connections.exchange(call(server.url, is_repeatable=is_repeatable))
    await connections.close()

    assert isinstance(reply, transport.Reply)
    assert server.connections == 2
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://127.0.0.1:1", transport.Cause.CONNECT),
        ("http://no-such-host.invalid", transport.Cause.ADDRESS),
        ("ftp://127.0.0.1", transport.Cause.ADDRESS),
        ("http://", transport.Cause.ADDRESS),
        ("not an address", transport.Cause.ADDRESS),
    ],
)
async def test_exchange_when_no_connection_is_made_then_not_sent(
    url: str, cause: transport.Cause, connections: transport.Transport
) -> None:
    lost = await connections.exchange(call(url))

    assert isinstance(lost, transport.NotSent), lost
    assert lost.cause in (cause, transport.Cause.CONNECT_TIMEOUT)  # a resolver without a network may be slow to say no


async def test_exchange_when_the_other_side_speaks_no_tls_then_not_sent(
    server: scripted_server.ScriptedServer, connections: transport.Transport
) -> None:
    lost = await connections.exchange(call(server.url.replace("http://", "https://")))

    assert isinstance(lost, transport.NotSent), lost
    assert server.requests == []


async def test_exchange_when_no_place_comes_free_in_time_then_not_sent(
    server: scripted_server.ScriptedServer, connections: transport.Transport
) -> None:
    server.script(scripted_server.silence())
    holders = [asyncio.create_task(connections.exchange(call(server.url))) for _ in range(2)]
    await server.wait_for_requests(2)

    lost = await connections.exchange(call(server.url))

    assert isinstance(lost, transport.NotSent)
    assert lost.cause is transport.Cause.CONNECT_TIMEOUT
    assert len(server.requests) == 2
    for holder in holders:
        holder.cancel()
    await asyncio.gather(*holders, return_exceptions=True)


async def test_exchange_when_the_head_has_come_and_the_body_not_then_its_status_is_told(
    server: scripted_server.ScriptedServer, connections: transport.Transport
) -> None:
    server.script(scripted_server.cut_inside(503, b"x" * 100))

    lost = await connections.exchange(call(server.url))

    assert isinstance(lost, transport.MaybeSent)
    assert (lost.status, lost.cause) == (503, transport.Cause.CUT)


async def test_exchange_when_the_body_is_over_the_cap_then_reading_stops(
    server: scripted_server.ScriptedServer, connections: transport.Transport
) -> None:
    server.script(scripted_server.reply(200, b"x" * 1_000_000))

    lost = await connections.exchange(call(server.url, reply_bytes_max=1_000))
    at_the_cap = await connections.exchange(call(server.url, reply_bytes_max=1_000_000))

    assert isinstance(lost, transport.MaybeSent)
    assert lost.cause is transport.Cause.TOO_LARGE
    assert isinstance(at_the_cap, transport.Reply)


async def test_exchange_when_the_body_trickles_then_the_whole_is_bounded(
    server: scripted_server.ScriptedServer, connections: transport.Transport
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"
    server.script(scripted_server.Answer(pieces=(head,)))

    lost = await connections.exchange(call(server.url, timeout_s=0.3))

    assert isinstance(lost, transport.MaybeSent)
    assert (lost.status, lost.cause) == (200, transport.Cause.TIMEOUT)


async def test_exchange_when_the_request_body_is_large_then_it_arrives_whole(
    server: scripted_server.ScriptedServer, connections: transport.Transport
) -> None:
    server.script(OK)
    body = bytes(range(256)) * 20_000

    reply = await connections.exchange(call(server.url, body=body))

    assert isinstance(reply, transport.Reply)
    assert server.requests[0].body == body


async def test_exchange_when_proxies_and_cookies_are_about_then_neither_is_used(
    server: scripted_server.ScriptedServer, connections: transport.Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.script(scripted_server.json_reply(200, {}, headers={"Set-Cookie": "a=b"}))

    for _ in range(2):
        await connections.exchange(call(server.url))

    assert len(server.requests) == 2
    assert "cookie" not in server.requests[1].headers


async def test_messages_when_the_address_holds_secrets_then_they_are_left_out(connections: transport.Transport) -> None:
    lost = await connections.exchange(call("http://user:pass@127.0.0.1:1/a?token=hidden"))

    assert isinstance(lost, transport.NotSent)
    assert not {"pass", "hidden"} & set(lost.message.replace("/", " ").replace("=", " ").split())


async def test_release_when_others_still_hold_then_connections_stay_open(
    server: scripted_server.ScriptedServer, connections: transport.Transport
) -> None:
    server.script(OK)
    connections.hold()
    connections.hold()
    await connections.exchange(call(server.url))

    await connections.release()
    await connections.exchange(call(server.url))
    kept = server.connections
    await connections.release()
    await connections.exchange(call(server.url))

    assert (kept, server.connections) == (1, 2)
