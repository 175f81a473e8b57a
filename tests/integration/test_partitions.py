"""Partitions are made ahead by whoever leads, not by `migrate` alone, and making them twice makes none."""

import asyncio

import psycopg

from heddle.core.policy import retention
from heddle.store import partitions
from tests import pg
from tests.races import scene


def _names(dsn: str) -> set[str]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute(
            "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid "
            "where i.inhparent = 'heddle_run'::regclass"
        ).fetchall()
    return {name for (name,) in found}


def _drop_newest(dsn: str) -> str:
    newest = max(_names(dsn))
    with psycopg.connect(dsn, autocommit=True) as connection:
        for parent in partitions.PARENTS:
            connection.execute(f"drop table {newest.replace('heddle_run_p', f'heddle_{parent}_p')}")
    return newest


async def test_ensure_partitions_when_a_week_is_missing_then_a_worker_makes_it_once(database: pg.Database) -> None:
    weeks = len(_names(database.dsn)) - 1
    dropped = _drop_newest(database.dsn)
    store = scene.engine_store(database)
    await store.open()

    made = await store.ensure_partitions(weeks_ahead=weeks)
    again = await store.ensure_partitions(weeks_ahead=weeks)
    await store.close()

    assert dropped in made
    assert again == []
    assert dropped in _names(database.dsn)


async def test_ensure_partitions_when_two_workers_do_it_at_once_then_each_week_is_made_once(
    database: pg.Database,
) -> None:
    weeks = len(_names(database.dsn)) - 1
    dropped = _drop_newest(database.dsn)
    store = scene.engine_store(database)
    await store.open()

    made = await asyncio.gather(*(store.ensure_partitions(weeks_ahead=weeks) for _ in range(2)))
    await store.close()

    assert sorted(name for names in made for name in names if name == dropped) == [dropped]


async def test_ensure_partitions_when_a_worker_is_frozen_at_it_then_others_do_not_wait(database: pg.Database) -> None:
    weeks = len(_names(database.dsn)) - 1
    dropped = _drop_newest(database.dsn)
    store = scene.engine_store(database)
    await store.open()

    with database.connect() as frozen, frozen.transaction():
        frozen.execute("select pg_advisory_xact_lock(hashtext('heddle.partitions'))")
        beside = await asyncio.wait_for(store.ensure_partitions(weeks_ahead=weeks), timeout=30)
    after = await store.ensure_partitions(weeks_ahead=weeks)
    await store.close()

    assert beside == []
    assert dropped in after


def test_week_of_when_a_partition_is_named_then_its_name_gives_the_week_back(database: pg.Database) -> None:
    with database.connect() as connection:
        weeks = partitions.existing(connection.cursor())

    assert weeks == [retention.week_of(now_s=week.starts_at_s) for week in weeks]
    assert weeks
