"""Addresses that strangers give reach nothing inside: no form, no name, no second answer of a name server, no redirect.

Every attempt of this process to connect a socket is seen by an audit hook, whoever makes it: stronger than a listener
on each range. Listeners stand on this machine's own addresses besides, and none of them may hear anybody.
"""

import asyncio
import contextlib
import ipaddress
import itertools
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from heddle.ports import courier as courier_port
from heddle.providers import courier, transport
from tests import hostile_urls
from tests.integration import receivers

pytestmark = pytest.mark.asyncio
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUBLIC = "93.184.215.14"
SEEN: list[tuple[str, int]] = []
WATCHING: list[bool] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and WATCHING and isinstance(arguments[1], tuple):
        SEEN.append((str(arguments[1][0]), int(arguments[1][1])))
        if ipaddress.ip_address(SEEN[-1][0].partition("%")[0]).is_global:
            raise ConnectionRefusedError("tests reach nobody outside")


sys.addaudithook(_audit)


@pytest.fixture
def connects() -> Iterator[list[tuple[str, int]]]:
    """Give the addresses that this process tries to connect to while the test runs; public ones are cut off."""
    SEEN.clear()
    WATCHING.append(True)
    yield SEEN
    WATCHING.clear()


@pytest_asyncio.fixture
async def canaries() -> AsyncIterator[list[str]]:
    """Listen on this machine's addresses, and give who was heard."""
    heard: list[str] = []

    def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(str(writer.get_extra_info("sockname")))
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        for address in ("127.0.0.1", "127.0.0.2", "::1", *_own_addresses()):
            with contextlib.suppress(OSError):
                server = await asyncio.start_server(hear, address, 0)
                await stack.enter_async_context(server)
        yield heard


def _own_addresses() -> set[str]:
    with contextlib.suppress(OSError):
        return {str(each[4][0]) for each in socket.getaddrinfo(socket.gethostname(), None)}
    return set()


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], tuple[str, ...]]) -> None:
    """Let the resolver of this process give these addresses; numbers of any form are read as the system reads them."""
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *_more: Any, **_named: Any) -> list[Any]:
        found = answer(str(host))
        if not found:
            return real(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def letter(url: str, *, timeout_s: float = 5.0) -> courier_port.Letter:
    """Address a letter."""
    return courier_port.Letter(url=url, message_id="msg_1", body=b"{}", secrets=(SECRET,), timeout_s=timeout_s)


@contextlib.asynccontextmanager
async def sending(*, is_private_allowed: bool = False) -> AsyncIterator[courier.HttpCourier]:
    """Make a courier as a worker has it."""
    made = courier.HttpCourier(
        connections=transport.Transport(), now_s=time.time, is_private_allowed=is_private_allowed
    )
    try:
        yield made
    finally:
        await made.close()


async def test_courier_when_the_form_is_hostile_then_nothing_connects_and_one_sentence_is_said(
    connects: list[tuple[str, int]], canaries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, lambda _name: ())

    async with sending() as made:
        said = {await made.send(letter(url)) for url in hostile_urls.BY_FORM}

    assert said == {courier_port.Unanswered(reason=courier.REFUSED)}
    assert (connects, canaries) == ([], [])


async def test_transport_when_the_door_is_passed_by_then_the_socket_still_refuses(
    connects: list[tuple[str, int]], canaries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever another reader of URLs makes of them: names lead to this machine, numbers are read as the system reads.
    names = ("localhost", "metadata", "internal", "postgres", "kubernetes", "vault", "router", "printer", "instance")
    answering(monkeypatch, lambda name: ("127.0.0.1",) if any(each in name.lower() for each in names) else ())
    connections = transport.Transport().hold()

    causes = []
    for url in (*hostile_urls.BY_FORM, "http://foo.localhost:6379/"):
        call = transport.Call(method="POST", url=url, timeout_s=5.0, is_repeatable=False, is_public_only=True)
        found = await connections.exchange(call)
        causes.append((url, found.cause if isinstance(found, transport.NotSent) else found))
    await connections.release()

    assert [each for each in causes if each[1] not in (transport.Cause.ADDRESS, transport.Cause.INSIDE)] == []
    assert (connects, canaries) == ([], [])


@pytest.mark.parametrize("name", hostile_urls.BY_ADDRESS)
async def test_courier_when_a_name_leads_inside_then_nothing_connects_and_it_sounds_like_a_name_that_is_none(
    name: str, connects: list[tuple[str, int]], canaries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, lambda asked: hostile_urls.BY_ADDRESS.get(asked, ()))

    async with sending() as made:
        inside = await made.send(letter(f"http://{name}/"))
        nowhere = await made.send(letter("http://nowhere.hostile.example/"))

    assert inside == nowhere == courier_port.Unanswered(reason=courier.REFUSED)
    assert (connects, canaries) == ([], [])


async def test_courier_when_the_name_server_alternates_then_only_the_public_answer_is_tried(
    connects: list[tuple[str, int]], canaries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = itertools.cycle([(PUBLIC,), ("127.0.0.1",), (PUBLIC, "127.0.0.1"), ("127.0.0.1", PUBLIC), ("::1",)])
    answering(monkeypatch, lambda name: next(answers) if name == "rebind.hostile.example" else ())

    said = set()
    for _ in range(25):
        async with sending() as made:
            said.add(await made.send(letter("http://rebind.hostile.example/")))

    assert {address for address, _ in connects} == {PUBLIC}
    assert canaries == []
    assert {each.reason for each in said if isinstance(each, courier_port.Unanswered)} == {
        courier.REFUSED,
        "the receiver took no connection",
    }


@pytest.mark.parametrize("url", hostile_urls.LEGITIMATE)
async def test_courier_when_the_address_is_legitimate_then_it_is_tried(
    url: str, connects: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, lambda name: () if name[0] in "8[2" else (PUBLIC,))

    async with sending() as made:
        await made.send(letter(url))

    assert len(connects) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_courier_when_the_answer_is_a_redirect_then_nobody_goes_there(
    status: int, connects: list[tuple[str, int]], canaries: list[str]
) -> None:
    async with receivers.receiving() as receiver, sending(is_private_allowed=True) as made:
        receiver.location = f"http://{hostile_urls.METADATA}/latest/meta-data/"
        found = await made.send(letter(f"{receiver.url}/{status}"))
        port = int(receiver.url.rpartition(":")[2])

    assert found == courier_port.Answered(status=status)
    assert connects == [("127.0.0.1", port)]
    assert canaries == []


@contextlib.asynccontextmanager
async def raw(answer: Callable[[asyncio.StreamWriter], Any]) -> AsyncIterator[str]:
    """Answer every connection with bytes of one's own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def test_courier_when_the_body_never_ends_then_the_head_is_enough() -> None:
    sent = 0

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    async with raw(pour) as url, sending(is_private_allowed=True) as made:
        found = await made.send(letter(url))

    assert found == courier_port.Answered(status=200)
    assert sent < 16 * 1024**2


async def test_courier_when_the_head_never_ends_then_it_is_cut_off() -> None:
    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx-long: ")
        for _ in range(1_000):
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with raw(pour) as url, sending(is_private_allowed=True) as made:
        found = await made.send(letter(url))

    assert isinstance(found, courier_port.Unanswered)


async def test_courier_when_the_head_drips_then_the_time_allowed_ends_it() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        for byte in itertools.cycle(b"HTTP/1.1 200 OK"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    async with raw(drip) as url, sending(is_private_allowed=True) as made:
        started_s = time.monotonic()
        found = await made.send(letter(url, timeout_s=0.5))
        took_s = time.monotonic() - started_s

    assert isinstance(found, courier_port.Unanswered)
    assert took_s < 3.0
