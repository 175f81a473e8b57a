"""Give a test file one database and one store, and each of its tests a clean stage."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests import pg
from tests.races import scene


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def open_house(database: pg.Database) -> AsyncIterator[scene.House]:
    store = scene.engine_store(database)
    await store.open()
    with database.connect() as connection:
        yield scene.House(database=database, connection=connection, store=store)
    await store.close()


@pytest_asyncio.fixture(loop_scope="module")
async def house(open_house: scene.House) -> AsyncIterator[scene.House]:
    open_house.wipe()
    yield open_house
