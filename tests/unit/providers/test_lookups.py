"""A name server that never answers holds up nobody but who asked for its names."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from heddle.providers import lookups, transport

PATIENCE_S = 20.0
SILENT = [f"{number}.silent.example" for number in range(40)]


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let no name of silent.example have an answer before the end of the test."""
    over, real = threading.Event(), socket.getaddrinfo

    def look(host: Any, *given: Any, **more: Any) -> Any:
        if str(host).endswith("silent.example"):
            over.wait(PATIENCE_S)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return real(host, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    yield over
    over.set()


def to(host: str) -> transport.Call:
    """Ask for a page of a stranger."""
    url = f"http://{host}/"
    return transport.Call(method="GET", url=url, timeout_s=0.2, is_repeatable=False, is_public_only=True)


async def test_exchange_when_strangers_name_servers_are_silent_then_the_threads_of_the_loop_are_free(
    silence: threading.Event,
) -> None:
    connections = transport.Transport()

    lost = await asyncio.gather(*(connections.exchange(to(host)) for host in SILENT))

    # What the loop's threads are for: files of artifacts, names of providers.
    async with asyncio.timeout(PATIENCE_S / 2):
        assert await asyncio.to_thread(threading.current_thread) is not threading.main_thread()
        assert await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)
    assert {type(each) for each in lost} == {transport.NotSent}
    await connections.close()


async def test_resolve_when_every_place_is_taken_then_the_next_name_waits_for_one(silence: threading.Event) -> None:
    names = lookups.Lookups(places=1)
    first = asyncio.ensure_future(names.resolve(SILENT[0], 80))
    second = asyncio.ensure_future(names.resolve("127.0.0.1", 80))

    done, _ = await asyncio.wait({second}, timeout=0.1)
    silence.set()

    assert not done
    with pytest.raises(OSError, match="no answer"):
        await first
    assert [found["host"] for found in await second] == ["127.0.0.1"]


async def test_resolve_when_whoever_asked_has_left_then_the_place_is_taken_until_the_answer(
    silence: threading.Event,
) -> None:
    names = lookups.Lookups(places=1)
    first = asyncio.ensure_future(names.resolve(SILENT[0], 80))
    await asyncio.sleep(0)
    first.cancel()
    second = asyncio.ensure_future(names.resolve("127.0.0.1", 80))

    done, _ = await asyncio.wait({second}, timeout=0.1)
    silence.set()

    assert not done
    assert await second
