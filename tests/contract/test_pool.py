"""The pool lends few connections, and keeps some of them free for what a call waits for."""

import asyncio
import contextlib

import pytest

from heddle.store import pool
from tests import pg

TIMEOUT_S = 5.0


async def made(database: pg.Database, *, size: int, timeout_s: float = TIMEOUT_S) -> pool.Pool:
    async def configure(connection: pool.Connection) -> None:
        del connection

    return pool.Pool(dsn=database.dsn, size=size, timeout_s=timeout_s, answer_timeout_s=TIMEOUT_S, configure=configure)


async def test_connection_when_the_house_is_kept_at_all_ends_then_half_of_the_pool_is_left_for_calls(
    database: pg.Database,
) -> None:
    lent = await made(database, size=4, timeout_s=0.2)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(lent.connection(is_urgent=False))

        with pytest.raises(pool.PoolExhausted, match=r"0\.2 s"):
            await stack.enter_async_context(lent.connection(is_urgent=False))
        for _ in range(2):
            await stack.enter_async_context(lent.connection())
        with pytest.raises(pool.PoolExhausted):
            await stack.enter_async_context(lent.connection())
    await lent.close()


async def test_connection_when_one_comes_back_then_what_waited_behind_gets_it(database: pg.Database) -> None:
    lent = await made(database, size=2)
    order: list[str] = []

    async def ask(name: str, *, is_urgent: bool) -> None:
        async with lent.connection(is_urgent=is_urgent) as connection:
            await connection.execute("select 1")
            order.append(name)

    async with lent.connection(is_urgent=False):
        waiting = asyncio.create_task(ask("house", is_urgent=False))
        await asyncio.sleep(0)
        await ask("call", is_urgent=True)
    await waiting
    await lent.close()

    assert order == ["call", "house"]


async def test_connection_when_whoever_waits_behind_is_cancelled_then_its_place_is_free_again(
    database: pg.Database,
) -> None:
    lent = await made(database, size=2)
    async with lent.connection(is_urgent=False):
        waiting = asyncio.create_task(contextlib.AsyncExitStack().enter_async_context(lent.connection(is_urgent=False)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    async with lent.connection(is_urgent=False) as connection:
        assert (await (await connection.execute("select 1")).fetchone()) == (1,)
    await lent.close()
