"""What a call of a gateway asks of PostgreSQL is counted on the wire: admit and settle, or admit, claim, intent and
settle where something stands in its way.

Each is one pipelined transaction and one way there and back: its commit goes with the sync that leaves the pipeline.
"""

import asyncio
import uuid

import psycopg.conninfo
import pytest

from heddle.config import deployment
from heddle.engine import calls as calls_stage
from heddle.ports import calls, store
from tests import pg
from tests.contract import store_call_suite
from tests.integration import at_once
from tests.races import scene

WARM_UPS = 8
WAYS_A_STAGE = 1


class Wire:
    """Stand between a store and its database, and count how often the server answers after the client has spoken."""

    def __init__(self, dsn: str) -> None:
        self._to = psycopg.conninfo.conninfo_to_dict(dsn)
        self.exchanges = 0
        self.carrying: list[asyncio.Task[None]] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        self.carrying.append(asyncio.create_task(self.carry(reader, writer)))

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        host, port = str(self._to.get("host")), int(self._to.get("port") or 5_432)
        path = f"{host}/.s.PGSQL.{port}"
        opened = asyncio.open_unix_connection(path) if host.startswith("/") else asyncio.open_connection(host, port)
        from_server, to_server = await opened
        asked = asyncio.Event()

        async def forth() -> None:
            while data := await reader.read(65_536):
                asked.set()
                to_server.write(data)

        async def back() -> None:
            while data := await from_server.read(65_536):
                self.exchanges += asked.is_set()
                asked.clear()
                writer.write(data)

        answering = asyncio.create_task(back())
        await forth()
        to_server.close()
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        writer.close()


@pytest.mark.parametrize(
    ("is_paid", "is_at_once", "stages"),
    [(True, True, 2), (False, True, 2), (True, False, 4), (False, False, 3)],
)
async def test_call_when_it_goes_from_admission_to_settlement_then_each_stage_is_one_transaction(
    database: pg.Database, is_paid: bool, is_at_once: bool, stages: int
) -> None:
    wire = Wire(database.dsn)
    listener = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    dsn = psycopg.conninfo.make_conninfo(database.dsn, host="127.0.0.1", port=port, sslmode="disable")
    through = pg.Database(name=database.name, dsn=dsn)
    with database.connect() as connection:
        house = scene.House(database=database, connection=connection, store=scene.engine_store(through, size=1))
        house.wipe()
        house.deploy([scene.endpoint("one")], [deployment.Route(model="sent", endpoint="one")])
        await house.store.open()
        worker = await house.worker()
        new = store_call_suite.one_call(house, "model", "sent")

        async def walk() -> int:
            """Walk one call, and tell how many exchanges that took."""
            before, run_id = wire.exchanges, house.store.new_run_id()
            offer = at_once.offer(house, worker, is_paid=is_paid) if is_at_once else None
            admitted = await house.store.submit_calls(calls=[calls.NewCall(run_id=run_id, run=new)], offer=offer)
            if is_at_once:
                claimed = calls_stage._claimed(admitted.taken[0], new)
            else:
                wish = store.ModelWish(lane=scene.model_lane("sent"), model="sent", share=1.0)
                (claimed,) = await house.store.claim_models(
                    worker=worker, claim_id=uuid.uuid4(), lanes=[wish], want=1, is_expected=True
                )
                if is_paid:
                    await house.store.mark_sending(calls=[(claimed, "digest")])
            await house.settle(scene.done(claimed, 1))
            return wire.exchanges - before

        # Statements are prepared as they come again.
        walked = [await walk() for _ in range(WARM_UPS)]
        await house.store.close()
    listener.close()
    await asyncio.wait_for(asyncio.gather(*wire.carrying), 20)

    assert walked[-1] == stages * WAYS_A_STAGE, walked
